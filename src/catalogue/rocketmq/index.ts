/**
 * ApsaraMQ for RocketMQ 5.x, as the server and the command line load it: from `generated/`, so that neither TypeBox
 * nor the Ajv compiler is loaded. `InputOf` and `DataOf` are the static types of an operation's input and result.
 *
 * To add or change an operation:
 * 1. declare it in the file of its family (`topics.ts`, …) with `operation({…})`; the export has the action's name
 *    with a small first letter;
 * 2. a new family file also joins the list in `declarations.ts`;
 * 3. `npm run generate`, and commit `generated/` with the declaration;
 * 4. export its handler from the file of the same family in `src/resources/rocketmq/`, or name it in `notYet` there, and
 *    it answers 501; `index.ts` there does not compile before.
 * `test/coverage/` compares the result with the official SDK's models, `generate.boundary.test.ts` checks
 * that `generated/` is fresh. Rules between parameters are no schema: tables stand here, the rest in handlers.
 */
import type { DataIn, InputIn } from '../declare.ts'
import { defineProduct } from '../product.ts'
import type { RocketmqOperations } from './declarations.ts'
import { operations } from './generated/operations.js'
import { validators } from './generated/validators.js'
import { rocketmqFacts } from './product.ts'

export const rocketmq = defineProduct(rocketmqFacts, operations, validators)

export type { RocketmqOperations } from './declarations.ts'
/** Name of an operation. */
export type Action = keyof RocketmqOperations
/** Path, query and body members in one object, as handlers receive them. */
export type InputOf<A extends Action> = InputIn<RocketmqOperations, A>
/** What the handler answers, the reply's `data`. */
export type DataOf<A extends Action> = DataIn<RocketmqOperations, A>
