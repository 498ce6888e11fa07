/**
 * The vendor's billing service, as far as Terraform's provider asks it about instances. Loaded from `generated/`
 * (../rocketmq/index.ts says how to add an operation).
 */
import type { DataIn, InputIn } from '../declare.ts'
import { defineProduct } from '../product.ts'
import type { BssopenapiOperations } from './declarations.ts'
import { operations } from './generated/operations.js'
import { validators } from './generated/validators.js'
import { bssopenapiFacts } from './product.ts'

export const bssopenapi = defineProduct(bssopenapiFacts, operations, validators)

export type { BssopenapiOperations } from './declarations.ts'
export type Action = keyof BssopenapiOperations
export type InputOf<A extends Action> = InputIn<BssopenapiOperations, A>
export type DataOf<A extends Action> = DataIn<BssopenapiOperations, A>
