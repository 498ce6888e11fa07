/** The products this server answers for. Another one is a folder in catalogue/, a folder here, and a line below and in `cli/products.ts`. */
import { bssopenapi } from '../catalogue/bssopenapi/index.ts'
import { rocketmq } from '../catalogue/rocketmq/index.ts'
import { handlers as bssopenapiHandlers } from './bssopenapi/index.ts'
import type { ServedProduct } from './handler.ts'
import { handlers as rocketmqHandlers } from './rocketmq/index.ts'

export const products: readonly ServedProduct[] = [
  { product: rocketmq, handlers: rocketmqHandlers },
  { product: bssopenapi, handlers: bssopenapiHandlers },
]
