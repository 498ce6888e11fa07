/**
 * What is bought and how it renews. Names, defaults and values are those of the vendor's pages of these actions;
 * parameters that are not carried out here are not declared, and so refused.
 */
import Type from 'typebox'
import { choice, integer, list, maybe, name, object, text } from '../schema.ts'
import { operation } from './operation.ts'

const family = 'renewals'
/** Vendor's page: at most 100 instances in a call. */
const maxInstances = 100

const instanceIds = () =>
  list(name(255), maxInstances, { description: `Ids of the instances, separated by commas; at most ${maxInstances}.` })
const productCode = () => text(64, { description: 'Product of the instances; `ons` is RocketMQ, and the default.' })
const productType = () => text(64, { description: 'Commodity code, or the product code for all its commodities.' })
const subscriptionType = () =>
  choice(['Subscription', 'PayAsYouGo'], { description: 'How the instances are paid for.' })
const renewStatus = (description: string) => choice(['AutoRenewal', 'ManualRenewal', 'NotRenewal'], { description })

export const queryAvailableInstances = operation({
  action: 'QueryAvailableInstances',
  summary: 'List instances with payment and renewal',
  description: 'Instances of all regions.',
  family,
  access: ['list', 'any'],
  parameters: {
    Region: maybe(text(64, { description: 'Only instances of this region.' })),
    ProductCode: maybe(productCode()),
    ProductType: maybe(productType()),
    SubscriptionType: maybe(subscriptionType()),
    InstanceIDs: maybe(instanceIds()),
    RenewStatus: maybe(renewStatus('Only instances that renew in this way.')),
    PageNum: integer(1, 100_000, { default: 1, description: 'Page, counted from 1.' }),
    PageSize: integer(1, 300, { default: 20, description: 'Entries in a page.' }),
  },
  data: object({
    PageNum: Type.Integer(),
    PageSize: Type.Integer(),
    TotalCount: Type.Integer({ description: 'Entries of all pages together.' }),
    InstanceList: Type.Array(
      object({
        OwnerId: Type.Integer({ description: 'Account that owns the instance.' }),
        ProductCode: Type.String(),
        ProductType: Type.String({ description: 'Commodity code.' }),
        SubscriptionType: Type.String(),
        InstanceID: Type.String(),
        Region: Type.String(),
        CreateTime: Type.String({ description: 'UTC, ISO 8601; so are the other times.' }),
        EndTime: Type.String({ description: 'When what was paid for ends.' }),
        ReleaseTime: Type.String({ description: 'When the instance is released.' }),
        Status: choice(['Creating', 'Normal', 'WaitForExpire']),
        RenewStatus: choice(['AutoRenewal', 'ManualRenewal']),
        RenewalDuration: maybe(Type.Integer({ description: 'Length of each renewal, with AutoRenewal.' })),
        RenewalDurationUnit: maybe(choice(['M', 'Y'])),
      }),
    ),
  }),
})

export const setRenewal = operation({
  action: 'SetRenewal',
  summary: 'Change how subscriptions renew',
  description: 'All of the instances or none: the first that cannot be changed refuses the call.',
  family,
  access: ['update', 'any'],
  parameters: {
    InstanceIDs: instanceIds(),
    ProductCode: maybe(productCode()),
    ProductType: maybe(productType()),
    SubscriptionType: maybe(subscriptionType()),
    RenewalStatus: renewStatus('How the instances renew from now on.'),
    RenewalPeriod: maybe(integer(1, 12, { description: 'Length of each renewal; needed with AutoRenewal.' })),
    RenewalPeriodUnit: maybe(choice(['M', 'Y'], { description: 'Months or years; M when left out.' })),
  },
  data: object({}),
  errors: ['Instance.NotFound'],
})
