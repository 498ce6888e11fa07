/** What a reader of any product's catalogue needs. The products themselves are in the folders beside this file. */
export type { Decoded, RawRequest } from './decode.ts'
export type * from './operation.ts'
export type { Problem } from './problems.ts'
export type { Product } from './product.ts'
