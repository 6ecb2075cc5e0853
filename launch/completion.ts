// Shell completion: scripts for bash, zsh and fish from commander's own tree of commands, flags and their choices.
import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** Choices that commander does not know: by flag, by command and flag, or by argument. */
export type Choices = Record<string, readonly string[]>;

interface Word {
  word: string;
  summary: string;
}
/** What a command takes; `path` is its name after `farsight`, such as `bench control`. */
interface Level {
  path: string;
  commands: Word[];
  flags: (Word & { takesValue: boolean; values: readonly string[]; files: boolean })[];
  /** Of its arguments. */
  values: readonly string[];
  files: boolean;
}

/** What a shell is to source. */
export function completionScript(shell: Shell, program: Command, choices: Choices): string {
  const levels = levelsOf(program, '', choices);
  if (shell === 'fish') return fish(levels);
  return shell === 'bash' ? bash(levels) : `autoload -U +X bashcompinit && bashcompinit\n${bash(levels)}`;
}

/** Whether a placeholder, such as `<name|path>`, stands for a file. */
const isFile = (placeholder: string) => /file|directory|folder|path|policy|task|run/.test(placeholder);

function levelsOf(command: Command, path: string, choices: Choices): Level[] {
  const args = command.registeredArguments;
  const level: Level = {
    path,
    commands: command.commands.map((each) => ({ word: each.name(), summary: each.description() })),
    flags: [
      ...command.options.map(({ long, flags, description, required, optional, argChoices }) => ({
        word: long ?? flags,
        summary: description,
        takesValue: required || optional,
        values: argChoices ?? choices[`${path} ${long}`] ?? choices[long ?? flags] ?? [],
        files: argChoices === undefined && isFile(/[<[].*/.exec(flags)?.[0] ?? ''),
      })),
      { word: '--help', summary: 'display help for command', takesValue: false, values: [], files: false },
    ],
    values: args.flatMap((argument) => argument.argChoices ?? choices[`<${argument.name()}>`] ?? []),
    files: args.some((argument) => argument.argChoices === undefined && isFile(argument.name())),
  };
  const below = command.commands.flatMap((each) => levelsOf(each, `${path} ${each.name()}`.trim(), choices));
  return [level, ...below];
}

function bash(levels: Level[]): string {
  const offer = (words: readonly string[], files: boolean) =>
    `words='${words.join(' ')}'${files ? ' files=yes' : ''} ;;`;
  const paths = levels.flatMap(({ path }) => (path === '' ? [] : [`'${path}'`]));
  const values = levels.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .map((flag) => `    '${path} ${flag.word}') ${offer(flag.values, flag.files)}`),
  );
  const rest = levels.flatMap(({ path, commands, flags, values, files }) => [
    `      '${path} -'*) ${offer(wordsOf(flags), false)}`,
    `      '${path} '*) ${offer([...wordsOf(commands), ...values], files)}`,
  ]);
  return `_farsight() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" at='' word words='' files=''
  # bash takes '=' for a word of its own.
  if [ "$current" = '=' ]; then current=''
  elif [ "$previous" = '=' ]; then previous="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
    case "\${at:+$at }$word" in
    ${paths.join('|')}) at="\${at:+$at }$word" ;;
    esac
  done
  case "$at $previous" in
${values.join('\n')}
    *) case "$at $current" in
${rest.join('\n')}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  case "$words" in *=) compopt -o nospace 2>/dev/null ;; esac
  if [ "$files" ]; then
    local IFS=$'\\n'
    COMPREPLY+=($(compgen -f -- "$current"))
    compopt -o filenames 2>/dev/null
  fi
}
complete -F _farsight farsight
`;
}

function fish(levels: Level[]): string {
  const quote = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`;
  const paths = levels.flatMap(({ path }) => (path === '' ? [] : [quote(path)]));
  const lines = levels.flatMap(({ path, commands, flags, values, files }) => {
    const here = `complete -c farsight -n ${quote(`test (__farsight_at) = ${quote(path)}`)}`;
    return [
      ...commands.map(({ word, summary }) => `${here} -a ${word} -d ${quote(summary)}`),
      ...flags.map(({ word, summary, takesValue, values, files }) => {
        const value = takesValue ? ` -r ${files ? '-F' : '-f'} -a ${quote(values.join(' '))}` : '';
        return `${here} -l ${word.slice(2)}${value} -d ${quote(summary)}`;
      }),
      ...(values.length > 0 || files ? [`${here}${files ? ' -F' : ''} -a ${quote(values.join(' '))}`] : []),
    ];
  });
  return `function __farsight_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    set -l next (string trim -- "$at $word")
    contains -- "$next" ${paths.join(' ')}; and set at "$next"
  end
  echo $at
end
complete -c farsight -f
${lines.join('\n')}
`;
}

const wordsOf = (words: readonly Word[]) => words.map(({ word }) => word);
