/**
 * `gantry completion SHELL`: a script with which a shell completes commands, options, values, operations and their
 * parameters. It is computed from the program and the catalogue and holds all of it, so that completing starts no
 * process.
 *
 * One function in the language of `sh` finds the candidates from the words of the command line; bash and zsh call it,
 * fish runs it with `sh`. It prints a candidate a line, `name|description`, or `@dir` or `@file` for a path.
 */
import type { Command, Option } from 'commander'
import type { JsonSchema } from '../catalogue/operation.ts'
import { membersOf } from './call-input.ts'
import { UsageError } from './errors.ts'
import { formats, outText } from './output.ts'
import { products } from './products.ts'
import { shown } from './safe-text.ts'
import { nearest } from './similar.ts'

export const shells = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof shells)[number]

export function completion(program: Command, shell: string): void {
  const known = shells.find((each) => each === shell)
  if (known === undefined) {
    const [close = shells.join(', ')] = nearest(shell, shells)
    throw new UsageError(`There is completion for ${shells.join(', ')}, not for "${shown(shell)}". Try ${close}.`)
  }
  outText(completionScript(program, known))
}

export function completionScript(program: Command, shell: Shell): string {
  const core = coreScript(program)
  switch (shell) {
    case 'bash':
      return `# gantry: completion for bash. eval "$(gantry completion bash)"\n${core}${bashDriver}`
    case 'zsh':
      return `#compdef gantry\n# gantry: completion for zsh. eval "$(gantry completion zsh)", after compinit\n${core}${zshDriver}`
    case 'fish':
      return `# gantry: completion for fish. gantry completion fish > ~/.config/fish/completions/gantry.fish\nset -g __gantry_core ${fishQuoted(`${core}_gantry_candidates "$@"\n`)}\n${fishDriver}`
  }
}

// ---- what can be completed

type Candidate = readonly [name: string, about: string]

/** Lists by their keys: `commands PATH`, `options PATH`, `valued PATH` (options that take a value), `values PATH OPTION`. */
function listsOf(program: Command): Map<string, readonly Candidate[]> {
  const lists = new Map<string, readonly Candidate[]>()
  addCommand(lists, program, '')
  const operations = products.flatMap((product) => product.operations)
  lists.set(
    'actions',
    operations.map(({ action, summary }) => [action, summary]),
  )
  const called = program.commands.find((each) => each.name() === 'call')
  const own = called === undefined ? [] : optionNames(called.options.filter(({ long }) => long !== '--list'))
  for (const operation of operations) {
    const members = membersOf(operation)
    const body: Candidate[] = operation.body === null ? [] : [['--body', 'the whole body as JSON']]
    lists.set(`parameters ${operation.action}`, [
      ...members.map(({ name }): Candidate => [`--${name}`, '']),
      ...body,
      ...own,
      ['--help', 'the parameters, an example, the errors'],
    ])
    for (const { name, schema } of members) {
      const values = valuesOf(schema)
      if (values.length > 0) lists.set(`values call ${operation.action} --${name}`, values.map(plain))
    }
  }
  for (const name of ['-o', '--output']) lists.set(`values call ${name}`, formats.map(plain))
  lists.set(
    'values call --product',
    products.map(({ code }) => plain(code)),
  )
  lists.set('values completion', shells.map(plain))
  return lists
}

function addCommand(lists: Map<string, readonly Candidate[]>, command: Command, path: string): void {
  if (command.commands.length > 0)
    lists.set(
      `commands ${path}`,
      command.commands.map((each) => [each.name(), firstLine(each.description())]),
    )
  const help: Candidate = ['--help', 'how it is used']
  lists.set(`options ${path}`, [...optionNames(command.options), help])
  const valued = command.options.filter((option) => option.required || option.optional)
  lists.set(
    `valued ${path}`,
    valued.flatMap((option) => [option.long, option.short].filter((name) => name != null)).map(plain),
  )
  for (const option of valued) {
    const values = option.argChoices ?? pathKind(option)
    for (const name of [option.long, option.short])
      if (name != null && values.length > 0) lists.set(`values ${path} ${name}`.replace('  ', ' '), values.map(plain))
  }
  for (const inner of command.commands) addCommand(lists, inner, `${path} ${inner.name()}`.trim())
}

const optionNames = (options: readonly Option[]): Candidate[] =>
  options.map((option) => [option.long ?? option.short ?? '', firstLine(option.description)])

const pathKind = (option: Option): readonly string[] =>
  /<dir>/.test(option.flags) ? ['@dir'] : /<file>/.test(option.flags) ? ['@file'] : []

function valuesOf(schema: JsonSchema): string[] {
  if (Array.isArray(schema.enum)) return schema.enum.map(String)
  if (schema.type === 'boolean') return ['true', 'false']
  return schema.type === 'array' ? valuesOf((schema.items ?? {}) as JsonSchema) : []
}

const plain = (name: string): Candidate => [name, '']
const firstLine = (text: string): string => text.split('\n')[0] ?? ''

// ---- the scripts

function coreScript(program: Command): string {
  const cases = [...listsOf(program)]
    .filter(([, candidates]) => candidates.length > 0)
    .map(
      ([key, candidates]) =>
        `    ${quoted(key)}) printf '%s\\n' ${candidates
          .map(([name, about]) => quoted(about === '' ? name : `${name}|${about}`))
          .join(' ')} ;;`,
    )
  return `_gantry_list() {
  case "$1" in
${cases.join('\n')}
  esac
}
${coreFunctions}`
}

const coreFunctions = `
# Whether list $1 has the name $2.
_gantry_has() {
  _gantry_list "$1" | cut -d '|' -f 1 | grep -q -x -F -e "$2"
}

# The words behind "gantry", the one to complete last.
_gantry_candidates() {
  [ -n "\${ZSH_VERSION-}" ] && emulate -L sh
  local place='' action='' option='' word=''
  while [ $# -gt 1 ]; do
    word=$1
    shift
    if [ -n "$option" ]; then
      option=''
      continue
    fi
    case $word in
      -*=*) continue ;;
      -*)
        if [ -n "$action" ]; then
          case $word in -h | --help) ;; *) option=$word ;; esac
        elif _gantry_has "valued $place" "$word"; then
          option=$word
        fi
        continue
        ;;
    esac
    case $place in
      call) [ -n "$action" ] || action=$word ;;
      help*)
        if [ "$place" = 'help call' ]; then return; fi
        place="$place $word"
        ;;
      *)
        if _gantry_has "commands $place" "$word"; then
          place="\${place:+$place }$word"
        elif [ "$place" = completion ]; then
          return
        fi
        ;;
    esac
  done
  word=$1
  case $word in
    --*=*)
      option=\${word%%=*}
      _gantry_list "values \${place:+$place }\${action:+$action }$option" | grep -v '^@' | sed "s|^|$option=|"
      return
      ;;
  esac
  if [ -n "$option" ]; then
    if [ -n "$action" ]; then
      case $option in --home | -o | --output | --product) _gantry_list "values \${place:+$place }$option" ; return ;; esac
    fi
    _gantry_list "values \${place:+$place }\${action:+$action }$option"
    return
  fi
  case $place in
    call)
      if [ -n "$action" ]; then _gantry_list "parameters $action"
      else case $word in -*) _gantry_list 'options call' ;; *) _gantry_list actions ;; esac
      fi
      ;;
    'help call') _gantry_list actions ;;
    help) _gantry_list 'commands ' ;;
    'help '*) _gantry_list "commands \${place#help }" ;;
    completion) case $word in -*) _gantry_list 'options completion' ;; *) _gantry_list 'values completion' ;; esac ;;
    *)
      case $word in
        -*) _gantry_list "options $place" ;;
        *) _gantry_list "commands $place" ;;
      esac
      ;;
  esac
}
`

const bashDriver = `
_gantry() {
  local current=\${COMP_WORDS[COMP_CWORD]} words=() word line
  # bash parts words at "=": "--name = value" is completed as "--name value".
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    [ "$word" = '=' ] || words+=("$word")
  done
  if [ "$current" = '=' ]; then
    current=''
    words+=('')
  fi
  COMPREPLY=()
  while IFS= read -r line; do
    line=\${line%%|*}
    case $line in
      @dir)
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -d -- "$current"))
        ;;
      @file)
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "$current"))
        ;;
      "$current"*) COMPREPLY+=("$line") ;;
    esac
  done < <(_gantry_candidates "\${words[@]}")
}
complete -F _gantry gantry
`

const zshDriver = `
_gantry() {
  local line name
  local -a found
  _gantry_candidates "\${(@)words[2,CURRENT]}" | while IFS= read -r line; do
    case $line in
      @dir) _files -/ ;;
      @file) _files ;;
      *)
        name=\${line%%|*}
        if [[ $line == *'|'* ]]; then found+=("\${name//:/\\\\:}:\${line#*|}")
        else found+=("\${name//:/\\\\:}")
        fi
        ;;
    esac
  done
  (( $#found )) && _describe gantry found
}
if [ "\${funcstack[1]-}" = _gantry ]; then _gantry "$@"
elif (( $+functions[compdef] )); then compdef _gantry gantry
fi
`

const fishDriver = `
function __gantry_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (sh -c $__gantry_core gantry $words[2..-1])
        switch $line
            case @dir
                __fish_complete_directories (commandline -ct)
            case @file
                __fish_complete_path (commandline -ct)
            case '*'
                string replace '|' \\t -- $line
        end
    end
end
complete -c gantry -f -a '(__gantry_complete)'
`

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
const fishQuoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
