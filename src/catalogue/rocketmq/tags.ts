/**
 * Tags of instances (api-semantics §6). Everything travels in the query, partly as JSON text; a resource id may
 * also come bare, as the vendor's samples send it.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import { choice, done, flag, list, maybe, name, object, regionId, tag, text } from './schema.ts'

const family = 'tags'

const resourceType = () => choice(['instance'], { description: 'Always `instance`.' })

const resourceIds = () =>
  list(name(limits.pathSegment), limits.tagResources.maximum, {
    minItems: 1,
    'x-json-text': 'bare',
    description: 'Instance ids as JSON, `["rmq-…"]`; one bare id is accepted.',
  })

export const tagResources = operation({
  action: 'TagResources',
  call: 'POST /resourceTag/create',
  summary: 'Put tags on instances',
  description: 'An existing key takes the new value.',
  family,
  access: ['update', 'any'],
  query: {
    regionId: regionId(),
    resourceId: resourceIds(),
    resourceType: resourceType(),
    tag: list(tag(), limits.tags.perResource, {
      minItems: 1,
      'x-json-text': true,
      description: 'Tags as JSON: `[{"key":"env","value":"test"}]`.',
    }),
  },
  data: done(),
  errors: ['Instance.NotFound'],
})

export const untagResources = operation({
  action: 'UntagResources',
  call: 'DELETE /resourceTag/delete',
  summary: 'Take tags off instances',
  description: 'Names the keys, or says `all`.',
  family,
  access: ['update', 'any'],
  query: {
    regionId: regionId(),
    resourceId: resourceIds(),
    resourceType: resourceType(),
    tagKey: maybe(
      list(name(limits.tags.keyMaxLength), limits.tags.perResource, {
        'x-json-text': 'bare',
        description: 'Keys to take off, as JSON: `["env","team"]`.',
      }),
    ),
    all: maybe(flag({ description: 'Takes off every tag; counts when `tagKey` is left out.' })),
  },
  data: done(),
  errors: ['Instance.NotFound'],
})

export const listTagResources = operation({
  action: 'ListTagResources',
  call: 'GET /resourceTag/list',
  summary: 'List tags of instances',
  description: 'One entry for each tag of each instance; `nextToken` of a reply asks for what follows.',
  family,
  access: ['list', 'any'],
  query: {
    regionId: regionId(),
    resourceType: resourceType(),
    resourceId: maybe(resourceIds()),
    tag: maybe(
      list(tag(), limits.tags.perResource, {
        'x-json-text': true,
        description: 'Only instances that have every one of these tags.',
      }),
    ),
    resourceGroupId: maybe(text(64, { description: 'Only instances of this resource group.' })),
    nextToken: maybe(text(256, { description: 'Where the previous reply ended.' })),
  },
  data: object({
    nextToken: maybe(Type.String({ description: 'Present when there is more.' })),
    requestId: Type.String(),
    tagResources: Type.Array(
      object({
        aliUid: Type.Integer({ description: 'Account, as a number.' }),
        category: Type.String({ description: '`custom`.' }),
        resourceId: Type.String(),
        resourceType: Type.String(),
        scope: Type.String({ description: '`public`.' }),
        tagKey: Type.String(),
        tagValue: Type.String(),
      }),
    ),
  }),
})
