/** `gantry help [command]`: the help of any command, also of one within a family, and of an operation. */
import type { Command } from 'commander'
import { UsageError } from './errors.ts'
import { outText } from './output.ts'
import { shown } from './safe-text.ts'
import { nearest } from './similar.ts'

export async function help(program: Command, path: readonly string[]): Promise<void> {
  if (path[0] === 'call') {
    const { call, callUsage } = await import('./call.ts')
    if (path.length === 1) outText(callUsage)
    else {
      const never = (): never => {
        throw new Error('Help asks no server.')
      }
      await call(never, path[1]!, ['--help'], {})
    }
    return
  }
  let found = program
  for (const [index, name] of path.entries()) {
    const inner = found.commands.find((each) => each.name() === name)
    if (inner === undefined) throw new UsageError(unknown(found, path.slice(0, index), name))
    found = inner
  }
  helpOf(found)
}

/** With the text that stands behind it, as --help prints it. */
const helpOf = (found: Command): void => found.outputHelp()

function unknown(parent: Command, before: readonly string[], name: string): string {
  const names = parent.commands.map((each) => each.name())
  const close = nearest(name, names)
  const hint = close.length === 0 ? `There are ${names.join(', ')}.` : `Did you mean ${close.join(', ')}?`
  return names.length === 0
    ? `"gantry ${before.join(' ')}" has no commands of its own.`
    : `There is no command "${shown([...before, name].join(' '))}". ${hint}`
}
