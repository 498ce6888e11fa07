import type { Action, DataOf, InputOf } from '../../catalogue/rocketmq/index.ts'
import type { HandlerOf } from '../handler.ts'

/** The handler of one operation of this product. */
export type Handler<A extends Action> = HandlerOf<A, InputOf<A>, DataOf<A>>
