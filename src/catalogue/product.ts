/**
 * A product: an API with a name, a version and a style, and its operations. Each has a folder beside this file:
 * - `product.ts` states the facts of the product (`ProductFacts`);
 * - a file a family declares operations, and `declarations.ts` lists the families;
 * - `generated/` is what the running server loads: `npm run generate` writes it for every folder with declarations;
 * - `index.ts` joins facts and generated files with `defineProduct`.
 *
 * Handlers stand in `src/resources/<folder>/`. Nothing else knows a product: api/ and iam/ work with these values.
 */
import { type Decoded, decode, type RawRequest } from './decode.ts'
import type { JsonSchema, Operation } from './operation.ts'
import { explain, type Finding, inOrder, inputSchemaOf, type Problem } from './problems.ts'

export interface ProductFacts {
  /** The vendor's product code: `RocketMQ`, `BssOpenApi`. */
  readonly code: string
  readonly version: string
  /** ROA: method and path name the operation, bodies are JSON. RPC: a parameter names it, parameters are a flat list. */
  readonly style: 'ROA' | 'RPC'
  /** The vendor's endpoints: `{name}.aliyuncs.com` and `{name}.{region}.aliyuncs.com`, each of which this server answers to. */
  readonly endpoints: {
    readonly names: readonly string[]
    /** Whether the region in an endpoint is the one a call is for; otherwise calls are for the default region. */
    readonly regional: boolean
  }
  /** Of RAM actions: `rocketmq:CreateTopic`. */
  readonly ramCode: string
  /**
   * What a RAM policy must name, by kind of resource. `{regionId}` and `{accountId}` are the call's; another place is
   * filled from the input, by the first of its names (`{a|b}`) that has a text, else with `*`.
   */
  readonly resources: Readonly<Record<string, string>>
  /** Of an RPC reply: `data` puts the result into `Data` beside the outcome, `members` puts its members at the top. */
  readonly rpcReply?: 'data' | 'members'
}

export interface Product extends ProductFacts {
  readonly operations: readonly Operation[]
  /** The operation of that name, or undefined. */
  operationNamed(action: string): Operation | undefined
  /**
   * What is wrong with a decoded input, missing things first; empty when nothing is. At most 20 entries, one a field.
   * Throws when there is no such operation.
   */
  validate(action: string, input: unknown): Problem[]
  /** Decodes without judging: for an operation that is not carried out. */
  decode(operation: Operation, raw: RawRequest): Decoded
  /**
   * Decodes and validates in one step: the input for the handler, and everything that is wrong with the request.
   * The input may be used only when there are no problems.
   */
  read(operation: Operation, raw: RawRequest): Decoded
}

/** Answers whether the input is as declared; `errors` holds the findings of the last call. */
export interface Validator {
  (input: unknown): boolean
  readonly errors?: readonly Finding[] | null
}

/** The facts of a product with what is generated from its declarations. */
export function defineProduct(
  facts: ProductFacts,
  operations: readonly Operation[],
  validators: Readonly<Record<string, Validator>>,
): Product {
  const byAction = new Map(operations.map((operation) => [operation.action, operation]))
  const inputSchemas = new Map<string, JsonSchema>()

  const validate = (action: string, input: unknown): Problem[] => {
    const check = Object.hasOwn(validators, action) ? validators[action] : undefined
    const operation = byAction.get(action)
    if (check === undefined || operation === undefined) throw new Error(`${facts.code} has no operation "${action}".`)
    if (check(input)) return []
    const schema = inputSchemas.get(action) ?? inputSchemaOf(operation)
    inputSchemas.set(action, schema)
    return explain(check.errors ?? [], schema, input)
  }
  return {
    ...facts,
    operations,
    operationNamed: (action) => byAction.get(action),
    validate,
    decode,
    read(operation, raw) {
      const { input, problems } = decode(operation, raw)
      const known = new Set(problems.map((problem) => problem.field))
      const found = validate(operation.action, input).filter((problem) => !known.has(problem.field))
      return { input, problems: inOrder([...problems, ...found]) }
    },
  }
}
