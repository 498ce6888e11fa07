/**
 * The catalogue: what the management API is. Everything here comes from `generated/`, so that the running server
 * loads neither TypeBox nor the Ajv compiler.
 *
 * To add or change an operation:
 * 1. declare it in the file of its family (`topics.ts`, …) with `operation({…})`, and export its `…Input` and
 *    `…Data` types; handlers import them with `import type`;
 * 2. a new family file also joins the list in `declarations.ts`;
 * 3. `npm run generate`, and commit `generated/` with the declaration;
 * 4. write the handler of the same family in `src/resources/`; until then the operation answers 501.
 * `test/coverage/` compares the result with the official SDK's models, `generate.boundary.test.ts` checks
 * that `generated/` is fresh. Rules between parameters are no schema: tables stand here, the rest in handlers.
 */
import { type Decoded, decode, type RawRequest } from './decode.ts'
import { operations } from './generated/operations.js'
import { validators } from './generated/validators.js'
import type { JsonSchema, Operation } from './operation.ts'
import { explain, inOrder, inputSchemaOf, type Problem } from './problems.ts'

export type { RawRequest } from './decode.ts'
export type { Action } from './generated/operations.js'
export type * from './operation.ts'
export type { Problem } from './problems.ts'
export { decode, operations }

const byAction = new Map(operations.map((operation) => [operation.action, operation]))
const inputSchemas = new Map<string, JsonSchema>()

/** The operation of that name, or undefined. */
export const operationNamed = (action: string): Operation | undefined => byAction.get(action)

/**
 * What is wrong with a decoded input, missing things first; empty when nothing is. At most 20 entries, one a field.
 * Throws when there is no such operation.
 */
export function validate(action: string, input: unknown): Problem[] {
  const check = Object.hasOwn(validators, action) ? validators[action] : undefined
  const operation = byAction.get(action)
  if (check === undefined || operation === undefined) throw new Error(`The catalogue has no operation "${action}".`)
  if (check(input)) return []
  const schema = inputSchemas.get(action) ?? inputSchemaOf(operation)
  inputSchemas.set(action, schema)
  return explain(check.errors ?? [], schema, input)
}

/**
 * Decodes and validates in one step: the input for the handler, and everything that is wrong with the request.
 * The input may be used only when there are no problems.
 */
export function read(operation: Operation, raw: RawRequest): Decoded {
  const { input, problems } = decode(operation, raw)
  const known = new Set(problems.map((problem) => problem.field))
  const found = validate(operation.action, input).filter((problem) => !known.has(problem.field))
  return { input, problems: inOrder([...problems, ...found]) }
}
