/** Every product that can be called, the one this server is named after first; without their handlers, which a call does not need. */
import { bssopenapi } from '../catalogue/bssopenapi/index.ts'
import type { Product } from '../catalogue/product.ts'
import { rocketmq } from '../catalogue/rocketmq/index.ts'

export const products: readonly Product[] = [rocketmq, bssopenapi]
