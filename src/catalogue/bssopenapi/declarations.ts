/** Every declared operation, by family. Only the generator and tests run this file (it pulls in TypeBox). */
import { type OperationsIn, operationsIn } from '../declare.ts'
import * as renewals from './renewals.ts'

const families = [renewals] as const

export const declarations = operationsIn(families)
/** The same operations as types, by action. */
export type BssopenapiOperations = OperationsIn<typeof families>
