/** Members of a request from options: those that were not given are not sent, because the API reads absence as "leave it". */
import { UsageError } from './errors.ts'

export type Members = Record<string, unknown>

/** Without the members that have no value: the API reads absence as "leave it". */
export const given = (members: Members): Members =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

/** The value of an option that was given. */
export const when = <T>(text: string | undefined, read: (text: string) => T): T | undefined =>
  text === undefined ? undefined : read(text)

export const isEmpty = (members: Members): boolean => Object.keys(members).length === 0

/** Throws a UsageError when an update changes nothing. */
export function refuseNothing(what: string, changes: Members): void {
  if (isEmpty(changes))
    throw new UsageError(`Say what to change; "gantry update ${what} --help" shows what can be changed.`)
}
