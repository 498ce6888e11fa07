/** Every operation of this product with its handler. */
import type { BssopenapiOperations } from '../../catalogue/bssopenapi/index.ts'
import type { HandlersOf } from '../handler.ts'
import * as renewals from './renewals.ts'

export const handlers: HandlersOf<BssopenapiOperations> = {
  QueryAvailableInstances: renewals.queryAvailableInstances,
  SetRenewal: renewals.setRenewal,
}
