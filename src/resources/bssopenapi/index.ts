/** Every operation of this product with its handler. */
import type { BssopenapiOperations } from '../../catalogue/bssopenapi/index.ts'
import { handlersOf } from '../handler.ts'
import * as renewals from './renewals.ts'

export const handlers = handlersOf<BssopenapiOperations>()({ ...renewals })
