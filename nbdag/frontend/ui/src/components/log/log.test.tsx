import { render } from 'preact'
import { act } from 'preact/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { equalHeights, variedHeights } from '../virtual'
import { plain, spans } from './ansi'
import { findFolds } from './folds'
import { LogText } from './LogText'
import { LogView } from './LogView'
import { rowOf, visibleLines, wrappedRows } from './rows'
import { patternOf, placesIn, search } from './search'
import type { LogPart, LogSource } from './useLog'

const encoded = (text: string) => new TextEncoder().encode(text)

describe('the text of a log', () => {
  it('is the same whichever way its bytes arrive', () => {
    const text = 'first\nzwei äöü\n\n日本語 line\nprogress 1\rprogress 2\r\nlast without newline'
    const all = encoded(text)
    const expected = ['first', 'zwei äöü', '', '日本語 line', 'progress 2', 'last without newline']
    for (let tail = 0; tail <= all.length; tail++) {
      for (const part of [1, 3, 7, 1000]) {
        const log = new LogText()
        log.open(all.slice(tail), tail)
        while (log.start > 0) {
          const count = Math.min(part, log.start)
          log.prepend(all.slice(log.start - count, log.start))
        }
        expect(log.lines, `tail ${tail}, parts of ${part}`).toEqual(expected)
      }
      const log = new LogText()
      log.open(all.slice(0, tail), 0)
      log.append(all.slice(tail))
      expect(log.lines.at(-1), `cut at ${tail}`).toBe('last without newline')
      expect(log.end).toBe(all.length)
    }
  })

  it('shows an unfinished line, and continues it', () => {
    const log = new LogText()
    log.open(encoded('a\nb'), 0)
    expect(log.lines).toEqual(['a', 'b'])
    log.append(encoded('c\n'))
    expect(log.lines).toEqual(['a', 'bc'])
    log.append(encoded('d'))
    expect(log.lines).toEqual(['a', 'bc', 'd'])
  })

  it('shows the last version of a line that is overwritten in parts', () => {
    const log = new LogText()
    log.open(encoded('10%\r20'), 0)
    expect(log.lines).toEqual(['20'])
    log.append(encoded('%\r30%'))
    expect(log.lines).toEqual(['30%'])
    log.append(encoded('\n'))
    expect(log.lines).toEqual(['30%'])
  })
})

describe('colours', () => {
  it.each([
    ['plain', [{ text: 'plain', style: '' }]],
    [
      '\x1b[31mred\x1b[0m rest',
      [
        { text: 'red', style: 'red' },
        { text: ' rest', style: '' },
      ],
    ],
    [
      '\x1b[1;92mok\x1b[22m!',
      [
        { text: 'ok', style: 'bold green' },
        { text: '!', style: 'green' },
      ],
    ],
    [
      '\x1b[38;5;1mx\x1b[39m\x1b[2Ky',
      [
        { text: 'x', style: 'red' },
        { text: 'y', style: '' },
      ],
    ],
    ['\x1b[48;2;1;2;3;33mz', [{ text: 'z', style: 'yellow' }]],
    ['\x1b]8;;http://x\x07link\x1b]8;;\x07', [{ text: 'link', style: '' }]],
  ])('of %j', (line, expected) => {
    expect(spans(line)).toEqual(expected)
    expect(plain(line)).toBe(expected.map(({ text }) => text).join(''))
  })
})

describe('folds', () => {
  it('are groups, frames in packages, and repeated lines', () => {
    const lines = [
      '::group::Setup',
      'one',
      'two',
      '::endgroup::',
      'File /home/me/work.py:3, in f(x)',
      '----> 3 return g(x)',
      '',
      'File /venv/lib/python3.11/site-packages/pandas/core.py:10, in g(x)',
      '     10 raise KeyError(x)',
      '',
      'File /venv/lib/python3.11/site-packages/pandas/base.py:20, in h(x)',
      '     20 raise KeyError(x)',
      '',
      'KeyError: 1',
      ...Array(5).fill('waiting'),
    ]
    expect(findFolds(lines)).toEqual([
      { first: 0, end: 4, label: 'Setup', note: '2 lines' },
      { first: 7, end: 12, label: '', note: '2 frames in packages' },
      { first: 14, end: 19, label: '', note: '5 times' },
    ])
  })

  it('keep the error of a plain traceback in view', () => {
    const lines = [
      'Traceback (most recent call last):',
      '  File "/home/me/a.py", line 1, in <module>',
      '    f()',
      '  File "/usr/lib/python3.11/json/decoder.py", line 2, in f',
      '    raise ValueError',
      'ValueError: no',
    ]
    expect(findFolds(lines)).toEqual([{ first: 3, end: 5, label: '', note: '1 frame in a package' }])
  })

  it('hide all lines but the first', () => {
    const folds = [
      { first: 1, end: 3, label: '', note: '' },
      { first: 4, end: 6, label: '', note: '' },
    ]
    expect([...visibleLines(8, folds)]).toEqual([0, 1, 3, 4, 6, 7])
    expect(rowOf(visibleLines(8, folds), 4)).toBe(3)
  })
})

describe('the search', () => {
  it.each([
    ['a.b', 'xa.bx axb', [[1, 4]]],
    [
      '/a.b/',
      'xa.bx axb',
      [
        [1, 4],
        [6, 9],
      ],
    ],
    ['/(/', 'the /(/ text', [[4, 7]]],
    ['ERROR', 'an error', [[3, 8]]],
    ['/x*/', 'ab', []],
  ])('for %s in %s', (query, line, expected) => {
    expect(placesIn(line, patternOf(query) as RegExp)).toEqual(expected)
  })

  it('finds each line once, in a log of any length', async () => {
    const lines = Array.from({ length: 100_000 }, (_, n) => (n % 1000 ? 'x' : `\x1b[31mneedle\x1b[0m ${n}`))
    let found: readonly number[] = []
    await search(lines, patternOf('Needle') as RegExp, (matches) => (found = matches), new AbortController().signal)
    expect(found).toEqual(Array.from({ length: 100 }, (_, n) => n * 1000))
  })
})

describe('the heights of rows', () => {
  it.each([equalHeights(5, 10), variedHeights(5, () => 10)])('say which row is where', (heights) => {
    expect(heights.total).toBe(50)
    expect([heights.top(2), heights.at(0), heights.at(29), heights.at(30), heights.at(9999)]).toEqual([20, 0, 2, 3, 4])
  })

  it.each([
    ['', 10, 1],
    ['1234567890', 10, 1],
    ['12345678901', 10, 2],
    ['日本語日本語', 10, 2],
    ['\tx', 10, 1],
    ['\x1b[31m1234567890\x1b[0m', 10, 1],
  ])('of wrapped lines: %j at %i characters', (line, columns, expected) => {
    expect(wrappedRows(line, columns)).toBe(expected)
  })
})

describe('the view', () => {
  let root: HTMLElement
  beforeEach(() => {
    root = document.createElement('div')
    document.body.append(root)
    vi.useFakeTimers()
  })
  afterEach(() => {
    act(() => render(null, root))
    root.remove()
    vi.useRealTimers()
  })

  class FakeSource implements LogSource {
    key = 'log'
    address = '/log'
    content = new Uint8Array(0)
    reads = 0

    async tail(count: number): Promise<LogPart | undefined> {
      this.reads++
      const start = Math.max(0, this.content.length - count)
      return { bytes: this.content.slice(start), start, size: this.content.length }
    }

    async read(from: number, count: number): Promise<LogPart | undefined> {
      this.reads++
      return { bytes: this.content.slice(from, from + count), start: from, size: this.content.length }
    }
  }

  async function settled(milliseconds = 0): Promise<void> {
    await act(async () => {
      await vi.advanceTimersByTimeAsync(milliseconds)
    })
  }

  const texts = () => [...root.querySelectorAll('.nbdag-log-text')].map((each) => each.textContent)

  it('draws only some lines of a long log, and loads all of it', async () => {
    const source = new FakeSource()
    source.content = encoded(Array.from({ length: 300_000 }, (_, n) => `line ${n}\n`).join(''))
    act(() => render(<LogView source={source} live={false} label="Log" />, root))
    await settled(100)
    expect(root.textContent).toContain('300,000 lines, 3.5 MB')
    expect(root.querySelectorAll('.nbdag-log-row').length).toBeLessThan(100)
  })

  it('shows what is written while the attempt runs, and what was written at its end', async () => {
    const source = new FakeSource()
    source.content = encoded('one\n')
    act(() => render(<LogView source={source} live={true} label="Log" />, root))
    await settled(10)
    expect(texts()).toEqual(['one'])
    source.content = encoded('one\ntwo\n')
    await settled(1000)
    expect(texts()).toEqual(['one', 'two'])
    source.content = encoded('one\ntwo\nthree\n')
    act(() => render(<LogView source={source} live={false} label="Log" />, root))
    await settled(10)
    expect(texts()).toEqual(['one', 'two', 'three'])
    const { reads } = source
    await settled(5000)
    expect(source.reads).toBe(reads)
  })

  it('unfolds a fold, and marks what was searched', async () => {
    const source = new FakeSource()
    source.content = encoded('::group::Setup\nhidden\n::endgroup::\nseen <b>needle</b>\n')
    act(() => render(<LogView source={source} live={false} label="Log" />, root))
    await settled(10)
    expect(texts()).toEqual(['Setup▸ 1 line', 'seen <b>needle</b>'])
    act(() => root.querySelector<HTMLElement>('.nbdag-log-fold')?.click())
    expect(texts()[1]).toBe('hidden')
    const field = root.querySelector('input') as HTMLInputElement
    act(() => {
      field.value = 'NEEDLE'
      field.dispatchEvent(new Event('input', { bubbles: true }))
    })
    await settled(500)
    expect(root.querySelector('mark')?.textContent).toBe('needle')
    expect(root.querySelector('[role=status]')?.textContent).toBe('1 of 1')
  })

  it('says that there is no log, or why it cannot be read', async () => {
    const source = new FakeSource()
    source.tail = async () => undefined
    act(() => render(<LogView source={source} live={false} label="Log" />, root))
    await settled(10)
    expect(root.textContent).toContain('This attempt has no log.')
    const failing = new FakeSource()
    failing.key = 'other'
    failing.tail = async () => {
      throw new Error('The server does not answer.')
    }
    act(() => render(<LogView source={failing} live={false} label="Log" />, root))
    await settled(10)
    expect(root.querySelector('[role=alert]')?.textContent).toContain('The server does not answer.')
  })
})
