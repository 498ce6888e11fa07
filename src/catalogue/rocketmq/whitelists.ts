/**
 * The whitelist of an instance, for the VPC and the public endpoint alike (api-semantics §12). `…/ip/whitelist` is a
 * paged list, `…/ip/whitelists` a set: two operations that differ by one letter.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import { done, instanceId, list, maybe, name, object, page, paging, regionId, text } from './schema.ts'

const family = 'whitelists'
const place = () => ({ instanceId: instanceId() })

const entry = () => name(limits.ipWhitelist.entryMaxLength, { description: 'IPv4 address or CIDR block.' })
const entries = (description: string) => list(entry(), limits.ipWhitelist.maximum, { description })

export const createInstanceIpWhitelist = operation({
  action: 'CreateInstanceIpWhitelist',
  call: 'POST /instances/{instanceId}/ip/whitelist',
  summary: 'Add addresses to the whitelist',
  description: 'Adds to what is there. A new instance lets everyone in, `0.0.0.0/0`.',
  family,
  access: ['create', 'instance'],
  path: place(),
  body: object({
    ipWhitelists: list(entry(), limits.ipWhitelist.maximum, { minItems: 1, description: 'Entries to add.' }),
  }),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'InstanceIpOrCidr.Existed'],
  modelsAccessDenied: true,
})

export const getInstanceIpWhitelist = operation({
  action: 'GetInstanceIpWhitelist',
  call: 'GET /instances/{instanceId}/ip/whitelists',
  summary: 'Read the whitelist',
  description: 'Without a filter every entry; with one, those entries, each of which must be there.',
  family,
  access: ['get', 'instance'],
  path: place(),
  query: { ipWhitelists: maybe(entries('Only these entries.')) },
  data: object({ instanceId: instanceId(), regionId: regionId(), ipWhitelists: Type.Array(Type.String()) }),
  errors: ['Instance.NotFound', 'InstanceIpOrCidr.NotExisted'],
})

export const listInstanceIpWhitelist = operation({
  action: 'ListInstanceIpWhitelist',
  call: 'GET /instances/{instanceId}/ip/whitelist',
  summary: 'List the whitelist in pages',
  family,
  access: ['list', 'instance'],
  path: place(),
  query: {
    ipWhitelist: maybe(text(limits.filter.maxLength, { description: 'Only entries with this text in them.' })),
    ...paging(limits.pages.sizes.ListInstanceIpWhitelist),
  },
  data: page(Type.String()),
  errors: ['Instance.NotFound'],
  modelsAccessDenied: true,
})

export const deleteInstanceIpWhitelist = operation({
  action: 'DeleteInstanceIpWhitelist',
  call: 'DELETE /instances/{instanceId}/ip/whitelist',
  summary: 'Take addresses off the whitelist',
  family,
  access: ['delete', 'instance'],
  path: place(),
  query: {
    ipWhitelists: maybe(entries('Entries to take off.')),
    ipWhitelist: maybe(
      text(limits.ipWhitelist.entryMaxLength, {
        deprecated: true,
        description: 'Older form of `ipWhitelists`, one entry.',
      }),
    ),
  },
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'InstanceIpOrCidr.NotExisted'],
  modelsAccessDenied: true,
})
