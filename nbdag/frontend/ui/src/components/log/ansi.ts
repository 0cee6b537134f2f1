// Colours in a log: the codes that terminals use for bold, faint, and sixteen colours. Other codes are removed.

export interface Span {
  text: string
  style: string // names of styles, such as `bold red`; '' for plain text
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with a control character
const CODE = /\x1b\[([0-9;?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g
const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'] as const

/** Return the line without codes. */
export function plain(line: string): string {
  return line.includes('\x1b') ? line.replace(CODE, '') : line
}

/** Return the line as spans of equal style. */
export function spans(line: string): Span[] {
  if (!line.includes('\x1b')) return [{ text: line, style: '' }]
  const found: Span[] = []
  let [bold, faint, colour] = [false, false, '']
  let from = 0
  const add = (text: string) => {
    const style = [bold && 'bold', faint && 'faint', colour].filter(Boolean).join(' ')
    if (text) found.push({ text, style })
  }
  for (const code of line.matchAll(CODE)) {
    add(line.slice(from, code.index))
    from = code.index + code[0].length
    if (code[2] !== 'm') continue
    const numbers = (code[1] || '0').split(';').map(Number)
    for (let n = 0; n < numbers.length; n++) {
      const each = numbers[n] ?? 0
      if (each === 0) [bold, faint, colour] = [false, false, '']
      else if (each === 1) bold = true
      else if (each === 2) faint = true
      else if (each === 22) [bold, faint] = [false, false]
      else if (each === 38 || each === 48) {
        const more = numbers[n + 1] === 2 ? 4 : 2 // 38;2;R;G;B or 38;5;N: a colour of a larger table
        if (each === 38 && more === 2) colour = (numbers[n + 2] ?? 16) < 16 ? named(numbers[n + 2] ?? 0) : ''
        n += more
      } else if (each === 39) colour = ''
      else if (each >= 30 && each <= 37) colour = named(each - 30)
      else if (each >= 90 && each <= 97) colour = named(each - 90)
    }
  }
  add(line.slice(from))
  return found
}

function named(number: number): string {
  return COLOURS[number % 8] ?? ''
}
