/** Declares an operation of this product. */
import { rpcOperations } from '../declare.ts'
import { bssopenapiFacts } from './product.ts'

export const operation = rpcOperations(bssopenapiFacts)
