/**
 * The command line: names, options and help of every command. What a command does is in the file of
 * its name, loaded only when it is called.
 */
import { Command, CommanderError } from 'commander'
import { type Flags, readSettings, SettingError, type Settings, settingRules } from '../config.ts'
import { command, homeOption } from './command.ts'
import { CommandError, exitCodes, Interrupted } from './errors.ts'
import { outText, sayText, watchOutput } from './output.ts'
import { addMessageCommands, addResourceCommands } from './resource-commands.ts'
import { shown, wrapped } from './safe-text.ts'

/** Widest line of a help text. */
const helpColumns = 100

const about = `Gantry: a self-hosted ApsaraMQ for RocketMQ 5.x.

"gantry up" starts a server that answers Alibaba Cloud's management API (version
2022-08-01). Every instance it creates is a working RocketMQ 5 instance that the
official clients use.`

const examples = `
Start here:
  gantry up                                start the server; Ctrl-C stops it
  eval "$(gantry env)"                     point SDKs, the aliyun CLI and Terraform at it
  gantry demo                              an instance, a topic, a group, and messages through it

Then:
  gantry create instance orders            an instance, which "orders" names from now on
  gantry create topic orders events
  gantry send orders events "hello"
  gantry receive orders events --group readers
  gantry call GetInstance --instanceId rmq-cn-...

Settings: a flag beats the environment (GANTRY_HOME, GANTRY_PORT, ...), which beats
gantry.yaml in the home. "gantry up --help" lists them.

Data goes to stdout (-o table, json or yaml), everything else to stderr. Exit status: 0 done,
1 refused, 2 a wrong command line, 3 no server answers, 4 not done in time, 130 Ctrl-C.`

/** Runs one command. What the exit statuses mean is in errors.ts. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  watchOutput()
  try {
    await createProgram().parseAsync(argv as string[])
  } catch (error) {
    if (error instanceof Interrupted) process.exit(error.exitCode)
    process.exitCode = complain(error)
  }
}

export function createProgram(): Command {
  const program = new Command('gantry')
    .description(about)
    .version(process.env.GANTRY_VERSION ?? '0.0.0-source', '-V, --version')
    .addHelpText('after', examples)
    .exitOverride()
    .configureOutput({ writeOut: outText, writeErr: sayText })
    .configureHelp({ helpWidth: helpColumns, subcommandTerm })
    .showHelpAfterError('(gantry --help shows the commands)')
    .helpCommand(false)
    .enablePositionalOptions()
    .addOption(homeOption())
    .hook('preAction', (_program, called) => {
      // Given before the command's name it belongs to the program, or to a family of commands.
      for (let outer = called.parent; outer !== null; outer = outer.parent) {
        const { home } = outer.opts<Flags>()
        if (home !== undefined && called.opts<Flags>().home === undefined) called.setOptionValue('home', home)
      }
    })

  addServerCommands(program)
  addResourceCommands(program, settingsOf)
  addMessageCommands(program, settingsOf)
  addCall(program)
  addHelp(program)
  for (const each of program.commands) explainMistakes(each, `gantry ${each.name()}`)
  return program
}

function addServerCommands(program: Command): void {
  command(program, {
    usage: 'up',
    about: 'run the server in the foreground',
    output: false,
    options: [
      { flags: settingRules.host.flag!, help: described('host') },
      { flags: settingRules.port.flag!, help: described('port') },
      { flags: settingRules.region.flag!, help: described('region') },
      { flags: settingRules.brokerProcesses.flag!, help: described('brokerProcesses') },
      {
        flags: settingRules.logLevel.flag!,
        help: described('logLevel'),
        values: ['debug', 'info', 'warn', 'error', 'silent'],
      },
      { flags: '--json', help: 'print one line of JSON when ready, instead of the card' },
    ],
    notes: `Settings without a flag (or as members of gantry.yaml in the home):\n${settingsWithoutFlag()}`,
    examples: [
      'gantry up',
      'gantry up --home ./gantry-home --port 0 --json',
      'GANTRY_ACCESS_KEY_ID=test-key GANTRY_ACCESS_KEY_SECRET=test-secret gantry up',
    ],
  }).action(async (options: Flags & { json?: boolean }) => {
    await (await import('./up.ts')).up(settingsOf(options), { json: options.json === true })
  })
  command(program, {
    usage: 'env',
    about: 'print export lines that point SDKs, the aliyun CLI and Terraform at the running server',
    examples: ['eval "$(gantry env)"', 'gantry env -o json'],
  }).action(async (options) => (await import('./env.ts')).env(settingsOf(options), options))
  command(program, {
    usage: 'demo',
    about: 'the main job, visibly: instance, topic, group, then messages through the official client',
    output: false,
    options: [
      { flags: '--messages <n>', help: 'how many messages to send', fallback: '10' },
      { flags: '--keep', help: 'leave the instance there afterwards' },
      { flags: '--start', help: 'when no server runs, start one for the demo and take it away afterwards' },
    ],
    examples: ['gantry demo', 'gantry demo --messages 1000 --keep', 'gantry demo --start'],
  }).action(async (options: Flags & { messages: string; keep?: boolean; start?: boolean }) => {
    await (await import('./demo.ts')).demo(settingsOf(options), {
      messages: options.messages,
      keep: options.keep === true,
      start: options.start === true,
    })
  })
  command(program, {
    usage: 'stop',
    about: 'stop the server of the home cleanly, with its broker processes',
    options: [{ flags: '--timeout <time>', help: 'how long to wait until it is gone', fallback: '40s' }],
    notes: 'Exit status 0 also when no server runs; 4 when it is still stopping at the end of the time.',
    examples: ['gantry stop', 'gantry stop --home ./gantry-home --timeout 2m'],
  }).action(async (options) => (await import('./stop.ts')).stop(settingsOf(options), options))
  command(program, {
    usage: 'logs',
    about: 'show what the server and the broker processes of the home wrote',
    options: [
      { flags: '--follow', help: 'go on with what is written, until Ctrl-C' },
      { flags: '--lines <n>', help: 'how many lines of what is there', fallback: '100' },
      { flags: '--instance <id>', help: 'only lines about this instance; its name while the server runs' },
      { flags: '--process <name>', help: 'only "server", or a broker process ("gantry list processes")' },
      { flags: '--level <level>', help: 'this level and above', values: ['debug', 'info', 'warn', 'error'] },
    ],
    notes:
      'The server writes server.log in the home, 16 MiB and the 16 MiB before; a broker process\nbrokers/NAME.log, begun anew beyond 16 MiB. With -o json each line is one JSON object.',
    examples: ['gantry logs', 'gantry logs --follow --level warn', 'gantry logs --instance rmq-cn-... --lines 20'],
  }).action(async (options) => (await import('./logs.ts')).logs(settingsOf(options), options))
  command(program, {
    usage: 'doctor',
    about: 'what is wrong with this machine or this home, and how to mend it',
    notes: 'Changes nothing. Exit status 1 when there is something to mend.',
    examples: ['gantry doctor', 'gantry doctor -o json'],
  }).action(async (options) => (await import('./doctor.ts')).doctor(settingsOf(options), options))
}

function addCall(program: Command): void {
  command(program, {
    usage: 'call [action]',
    about: 'call any operation of the API, signed',
    output: false,
    options: [
      { flags: '--list', help: 'list all operations; marks those that are not carried out' },
      {
        flags: '--product <code>',
        help: 'the product, where several have an operation of that name; also of --list',
      },
    ],
    notes:
      'Every parameter needs a value. Dots reach into objects, commas and repeated parameters make lists, --body\ngives the whole body as JSON. --instanceId takes the name of an instance too. "gantry call ACTION --help"\nshows the parameters, an example, the RAM action and the errors of an operation. A refusal is told on stderr;\nwith -o json or yaml the reply is on stdout too.',
    examples: [
      'gantry call --list',
      'gantry call CreateTopic --help',
      'gantry call CreateTopic --instanceId rmq-cn-... --topicName events --messageType NORMAL',
      'gantry call ListInstances --seriesCodes standard,professional -o table',
    ],
  })
    .usage('ACTION [--parameter value] [--body JSON]')
    .option('-o, --output <format>', 'how data is printed; json for a reply, table for --list')
    .allowUnknownOption()
    .allowExcessArguments()
    // Behind the action's name everything is the action's.
    .passThroughOptions()
    .helpOption(false)
    .action(async (action: string | undefined, options, called: Command) => {
      const { call, callUsage } = await import('./call.ts')
      if (action === '--help' || action === '-h') outText(callUsage)
      else {
        const behind = called.args.slice(action === undefined ? 0 : 1)
        await call((own) => settingsOf({ ...options, ...own }), action, behind, options)
      }
    })
}

function addHelp(program: Command): void {
  command(program, {
    usage: 'completion <shell>',
    about: 'print a script with which a shell completes commands, options, operations and parameters',
    output: false,
    examples: [
      'eval "$(gantry completion bash)"                      # in ~/.bashrc',
      'eval "$(gantry completion zsh)"                       # in ~/.zshrc, after compinit',
      'gantry completion fish > ~/.config/fish/completions/gantry.fish',
    ],
  }).action(async (shell: string) => (await import('./completion.ts')).completion(createProgram(), shell))
  command(program, {
    usage: 'help [command...]',
    about: 'show how a command is used',
    output: false,
    examples: ['gantry help create topic', 'gantry help call CreateInstance'],
  }).action(async (path: string[]) => (await import('./help.ts')).help(createProgram(), path))
}

/** `send <instance> <topic> [body]`: that a command has options goes without saying. */
const subcommandTerm = (each: Command): string =>
  each.name() === 'call' ? 'call ACTION' : `${each.name()} ${each.usage().replace(/\[options\] ?/, '')}`.trim()

/** A wrong command line is answered with how the command is used. */
function explainMistakes(each: Command, name: string): void {
  each.showHelpAfterError(`Usage: ${name} ${each.usage()}\n("${name} --help" tells more)`)
  for (const inner of each.commands) explainMistakes(inner, `${name} ${inner.name()}`)
}

const described = (key: keyof Settings): string => `${settingRules[key].help} (default: ${settingRules[key].fallback})`

function settingsWithoutFlag(): string {
  const rules = Object.values(settingRules).filter((rule) => rule.flag === null)
  const widest = Math.max(...rules.map((rule) => rule.env.length))
  return rules
    .map((rule) => wrapped(rule.help, helpColumns - widest - 4).join(`\n${' '.repeat(widest + 4)}`))
    .map((text, index) => `  ${rules[index]!.env.padEnd(widest)}  ${text}`)
    .join('\n')
}

/** Settings with what the command line says. Throws `SettingError`. */
export function settingsOf(options: Flags): Settings {
  const flags = Object.fromEntries(
    Object.keys(settingRules)
      .filter((key) => options[key as keyof Settings] !== undefined)
      .map((key) => [key, options[key as keyof Settings]]),
  )
  return readSettings(flags, process.env)
}

/** Says what went wrong and answers the exit status. */
function complain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  sayText(`${complaint(error)}\n`)
  if (error instanceof SettingError) return exitCodes.usage
  return error instanceof CommandError ? error.exitCode : exitCodes.refused
}

/** A sentence; a stack only for what nobody expected. */
export function complaint(error: unknown): string {
  const named = error instanceof Error ? error : new Error(String(error))
  const expected = ['HomeError', 'EngineError', 'LedgerError', 'SettingError']
  const system = (named as NodeJS.ErrnoException).syscall !== undefined
  if (named instanceof CommandError) return `gantry: ${named.message}`
  if (expected.includes(named.name)) return `gantry: ${lineByLine(named.message)}`
  return `gantry: ${system ? shown(systemSentence(named)) : lineByLine(named.stack ?? named.message)}`
}

const lineByLine = (text: string): string => text.split('\n').map(shown).join('\n')

function systemSentence(error: Error): string {
  const { code, syscall, port, address, hostname } = error as NodeJS.ErrnoException & {
    port?: number
    address?: string
    hostname?: string
  }
  if (syscall === 'getaddrinfo') return `The host name ${hostname} has no address here; choose another with --host.`
  if (code === 'ENOSPC') return `The disk is full (${error.message}). Free space on it, or move the home.`
  if (syscall !== 'listen') return error.message
  if (code === 'EADDRINUSE') {
    return `Port ${port} on ${address} is taken by another program. Stop it, or choose another port with --port (0 picks a free one).`
  }
  if (code === 'EACCES') return `Port ${port} may not be opened by this user; choose one above 1023 with --port.`
  if (code === 'EADDRNOTAVAIL') return `This machine has no address ${address}; choose another with --host.`
  return error.message
}
