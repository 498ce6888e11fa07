/**
 * How a command is declared: its name, what it does, its options, its examples. Help, docs/cli.md and the shells'
 * completions are read from the commander program that this makes.
 */
import { type Command, Option } from 'commander'
import { settingRules } from '../config.ts'
import { formats } from './output.ts'

export interface OptionSpec {
  readonly flags: string
  readonly help: string
  readonly fallback?: string
  /** Values that help and completion offer. Whether another one is wrong is for the API to say. */
  readonly values?: readonly string[]
  /** May be given several times; the action gets a list. */
  readonly many?: boolean
  readonly required?: boolean
}

export interface CommandSpec {
  /** Name and arguments, as `topic <instance> <name>`. */
  readonly usage: string
  readonly about: string
  readonly options?: readonly OptionSpec[]
  readonly examples: readonly string[]
  readonly notes?: string
  /** Whether it prints data in the format that `-o` names. */
  readonly output?: boolean
}

/** Adds a command; its action gets its arguments and, last, its options. */
export function command(parent: Command, spec: CommandSpec): Command {
  const made = parent.command(spec.usage).description(spec.about).exitOverride()
  for (const option of spec.options ?? []) made.addOption(optionOf(option))
  if (spec.output !== false) made.addOption(outputOption())
  made.addOption(homeOption())
  return withExamples(made, spec)
}

/** What stands behind the options in the help of a command; commander keeps no text that could be read. */
export interface HelpTail {
  readonly examples: readonly string[]
  readonly notes?: string
}

const tails = new WeakMap<Command, HelpTail>()

/** Notes and examples of a command, for docs/cli.md. */
export const helpTailOf = (made: Command): HelpTail => tails.get(made) ?? { examples: [] }

function withExamples(made: Command, tail: HelpTail): Command {
  tails.set(made, tail)
  const notes = tail.notes === undefined ? '' : `\n${tail.notes}\n`
  return made.addHelpText('after', `${notes}${exampleLines(tail.examples)}`)
}

/** A command that only holds others. */
export const family = (parent: Command, name: string, about: string, examples: readonly string[]): Command =>
  withExamples(parent.command(name).description(about).exitOverride().helpCommand(false).addOption(homeOption()), {
    examples,
  })

export const homeOption = (): Option =>
  new Option(settingRules.home.flag!, `${settingRules.home.help} (default: ~/.gantry)`)

const outputOption = (): Option =>
  new Option('-o, --output <format>', 'how data is printed').choices(formats).default('table')

function optionOf({ flags, help, fallback, values, many, required }: OptionSpec): Option {
  const option = new Option(flags, help)
  if (fallback !== undefined) option.default(fallback)
  // Shown and offered, not checked: the API's refusal says more than a list would.
  if (values !== undefined) option.argChoices = [...values]
  if (many === true) option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value])
  if (required === true) option.makeOptionMandatory()
  return option
}

const exampleLines = (lines: readonly string[]): string => `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`
