/** The schema shapes that several families of this product use, beside the shared ones of ../schema.ts. */
import Type, { type TProperties, type TSchema } from 'typebox'
import { maybe, type Notes, name, text } from '../schema.ts'
import { limits } from './limits.ts'

export * from '../schema.ts'

/** Texts by free names. */
export const textMap = (notes: Notes = {}) =>
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    additionalProperties: { type: 'string' },
    maxProperties: limits.properties.count,
    ...notes,
  })

/** `YYYY-MM-DD HH:mm:ss` without a zone, the API's only form of a moment in text (api-semantics §1.5). */
export const dateTime = (description: string, notes: Notes = {}) =>
  Type.String({
    maxLength: 19,
    pattern: limits.dateTime.pattern,
    'x-rule': limits.dateTime.rule,
    examples: ['2022-08-01 20:05:50'],
    description,
    ...notes,
  })

export const instanceId = () => name(limits.pathSegment, { description: 'Id of the instance, `rmq-…`.' })
export const topicName = (description = 'Name of the topic.') => name(limits.pathSegment, { description })
export const consumerGroupId = (description = 'Id of the consumer group.') => name(limits.pathSegment, { description })
export const username = (description = 'Name of the account.') => name(limits.pathSegment, { description })
export const regionId = () => name(64, { description: 'Region, for example `cn-hangzhou`.' })
export const remark = (description = 'A note for people.') => text(limits.remark.maxLength, { description })

export const filter = (what: string) =>
  maybe(text(limits.filter.maxLength, { description: `Only entries with this text in ${what}.` }))

/** Paging as `[lowest, highest]` page sizes; handlers always receive both numbers, already within bounds. */
export const paging = (sizes: { readonly minimum: number; readonly maximum: number }) => ({
  pageNumber: Type.Integer({
    default: 1,
    'x-clamp': [1, limits.pages.numberMaximum],
    description: 'Page, counted from 1.',
  }),
  pageSize: Type.Integer({
    default: 10,
    'x-clamp': [sizes.minimum, sizes.maximum],
    description: `Entries in a page, ${sizes.minimum} to ${sizes.maximum}; a number outside is moved to the bound.`,
  }),
})

/** Paging that the vendor demands to be sent. */
export const requiredPaging = (sizes: { readonly minimum: number; readonly maximum: number }) => ({
  pageNumber: Type.Integer({ 'x-clamp': [1, limits.pages.numberMaximum], description: 'Page, counted from 1.' }),
  pageSize: Type.Integer({
    'x-clamp': [sizes.minimum, sizes.maximum],
    description: `Entries in a page, ${sizes.minimum} to ${sizes.maximum}; a number outside is moved to the bound.`,
  }),
})

/** A page of a list, as replies carry it. */
export const page = <T extends TSchema, More extends TProperties = Record<never, never>>(
  entry: T,
  more: More = {} as More,
) =>
  Type.Object({
    list: Type.Array(entry),
    pageNumber: Type.Integer(),
    pageSize: Type.Integer(),
    totalCount: Type.Integer({ description: 'Entries of all pages together.' }),
    ...more,
  })

/** The reply of a write: true, or an error instead. */
export const done = () => Type.Boolean({ description: 'Always true; a failure answers an error instead.' })

/** A key and a value put on an instance. */
export const tag = () =>
  Type.Object({
    key: name(limits.tags.keyMaxLength, { description: 'Key of the tag.' }),
    value: maybe(text(limits.tags.valueMaxLength, { description: 'Value of the tag; empty when left out.' })),
  })
