import type { ProductFacts } from '../product.ts'

/** The vendor's authorisation tables name the product `bssapi` and no resource of it. */
export const bssopenapiFacts = {
  code: 'BssOpenApi',
  version: '2017-12-14',
  style: 'RPC',
  endpoints: { names: ['business'], regional: false },
  ramCode: 'bssapi',
  resources: { any: 'acs:bssapi:*:{accountId}:*' },
  rpcReply: 'data',
} as const satisfies ProductFacts
