// Headers in a text: where they are, and the help of the word at a position. The server parses and completes headers.
import type { OptionInfo, OptionTable } from '../messages'

const HEADER = /^\s*(%%?(?:task|setup|params|skip|dag|edges|nbdag))(?=\s|\\|$)/
const OPTION = /--(?:no-)?([\w-]+)/g

/** Return whether a line belongs to a header, which continues on the next line after a backslash. */
export function isInHeader(text: (line: number) => string, line: number): boolean {
  let first = line
  while (first > 1 && text(first - 1).endsWith('\\')) first -= 1
  return HEADER.test(text(first))
}

export interface Help {
  name: string
  help: string
  preformatted: boolean
  start: number // positions in the line
  end: number
}

/** Return the help of the magic or the option at this position of a line. */
export function helpAt(line: string, position: number, table: OptionTable | undefined): Help | undefined {
  if (!table) return undefined
  const magic = HEADER.exec(line)?.[1]
  if (magic) {
    const start = line.indexOf(magic)
    const kind = magic.replace(/^%+/, '')
    const text = table.magics[magic] ?? table.magics[`%%${kind}`] ?? table.magics[`%${kind}`]
    if (text && position >= start && position <= start + magic.length) {
      const [first = '', ...rest] = text.split('\n\n')
      return { name: first, help: rest.slice(0, 2).join('\n\n'), preformatted: true, start, end: start + magic.length }
    }
  }
  for (const found of line.matchAll(OPTION)) {
    const [word, flag = ''] = found
    const start = found.index
    if (position < start || position > start + word.length) continue
    const option = optionOf(table, magic?.endsWith('dag') ?? false, flag)
    if (!option) return undefined
    const name = `--${option.flag} ${option.metavar}`.trim()
    return { name, help: option.help, preformatted: false, start, end: start + word.length }
  }
  return undefined
}

function optionOf(table: OptionTable, ofDag: boolean, flag: string): OptionInfo | undefined {
  const operators = table.operators.flatMap(({ options }) => options)
  const all = ofDag ? [...table.dag, ...table.task] : [...table.task, ...operators, ...table.dag]
  return all.find((each) => each.flag === flag)
}

/** Return the line of a text at an offset, with the offset in that line. */
export function lineAt(text: string, offset: number): { line: number; text: string; column: number } {
  const before = text.slice(0, offset)
  const start = before.lastIndexOf('\n') + 1
  const end = text.indexOf('\n', offset)
  return {
    line: before.split('\n').length,
    text: text.slice(start, end < 0 ? undefined : end),
    column: offset - start,
  }
}
