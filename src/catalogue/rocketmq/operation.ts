/** Declares an operation of this product. */
import { roaOperations } from '../declare.ts'
import { rocketmqFacts } from './product.ts'

export const operation = roaOperations(rocketmqFacts)
