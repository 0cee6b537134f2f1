import type { Cell } from '@jupyterlab/notebook'
import { describe, expect, it } from 'vitest'
import type { OptionTable } from '../messages'
import { offsetOfLine } from './book'
import { Executions } from './executions'
import { roleOf } from './Form'
import { helpAt, isInHeader, lineAt } from './headers'
import { readSettings } from './settings'

function cell(id: string, source: string): Cell {
  return { model: { id, sharedModel: { getSource: () => source } } } as Cell
}

describe('executions', () => {
  it('have the time since the kernel was free, not since they were queued', () => {
    const seen = new Executions()
    const [a, b] = [cell('a', 'x = 1'), cell('b', 'y = x')]
    seen.begin(a, 1000)
    seen.begin(b, 1000)
    expect(seen.of('b')).toMatchObject({ state: 'running', order: 2, duration: null })
    seen.end(a, undefined, 3000)
    seen.end(b, 'ValueError: no', 3500)
    expect(seen.of('a')).toMatchObject({ state: 'success', order: 1, duration: 2 })
    expect(seen.of('b')).toMatchObject({ state: 'failed', order: 2, duration: 0.5, reason: 'ValueError: no' })
  })

  it('know when the text of a cell changed', () => {
    const seen = new Executions()
    for (const [text, at] of [['x = 1', 1] as const, ['x = 1', 2] as const, ['x = 2', 3] as const]) {
      seen.begin(cell('a', text), at)
      seen.end(cell('a', 'edited meanwhile'), undefined, at)
      expect(seen.of('a')).toMatchObject({ source: text, order: at, changed: text === 'x = 1' ? 1 : 3 })
    }
  })

  it('before the page was opened come from the kernel, and later ones are newer', () => {
    const seen = new Executions()
    seen.restore({ a: { source: 'x', order: 7, changed: 7, state: 'success', duration: 1, reason: '' } })
    seen.begin(cell('b', 'y'), 0)
    expect(seen.of('b')?.order).toBe(8)
    seen.clear()
    expect(seen.size).toBe(0)
  })

  it('of a %%dag cell get the tasks that it has built, and keep them while the same text runs again', () => {
    const seen = new Executions()
    const a = cell('a', '%%dag')
    const built = [{ source: '%%task x', line: 2 }]
    const reported = { source: '%%dag', order: 1, changed: 1, state: 'success', duration: 1, reason: '' } as const
    seen.begin(a, 0)
    seen.end(a, undefined, 1)
    seen.restore({ a: { ...reported, source: 'older', built } })
    expect(seen.of('a')?.built).toBeUndefined()
    seen.restore({ a: { ...reported, built } })
    seen.begin(a, 2)
    expect(seen.of('a')).toMatchObject({ state: 'running', built })
    seen.begin(cell('a', '%%dag other'), 3)
    expect(seen.of('a')?.built).toBeUndefined()
  })

  it('of another page replace those of this page, except for cells that are queued here', () => {
    const seen = new Executions()
    for (const id of ['a', 'b']) seen.begin(cell(id, 'old'), 0)
    seen.end(cell('a', 'old'), undefined, 1)
    const each = { source: 'new', order: 5, changed: 5, state: 'failed', duration: 1, reason: 'no' } as const
    seen.restore({ a: each, b: each })
    expect(seen.of('a')).toMatchObject({ source: 'old' })
    seen.restore({ a: each, b: each }, true)
    expect(seen.of('a')).toEqual(each)
    expect(seen.of('b')).toMatchObject({ source: 'old', state: 'running' })
  })

  it('that this page did not send are ignored', () => {
    const seen = new Executions()
    seen.end(cell('a', 'x'), undefined)
    expect(seen.of('a')).toBeUndefined()
  })
})

describe('headers', () => {
  const lines = ['%%task a \\', '  --retries 2', 'x = 1 --retries']
  const option = {
    help: '',
    group: '',
    default: '',
    flag_only: false,
    many: false,
    tasks: false,
    choices: [],
    suggestions: [],
  }
  const table: OptionTable = {
    task: [{ ...option, flag: 'retries', metavar: 'N', help: 'tries after the first' }],
    dag: [{ ...option, flag: 'schedule', metavar: 'WHEN', help: 'when it runs' }],
    operators: [],
    magics: { '%%task': '%%task NAME\n\nMakes this cell a task.' },
  }

  it('continue after a backslash', () => {
    expect([1, 2, 3].map((line) => isInHeader((n) => lines[n - 1] ?? '', line))).toEqual([true, true, false])
  })

  it('have help for each option and for the magic', () => {
    expect(helpAt('%%task a --no-retries', 15, table)).toMatchObject({ name: '--retries N', start: 9, end: 21 })
    expect(helpAt('%%task a', 3, table)).toMatchObject({ name: '%%task NAME', help: 'Makes this cell a task.' })
    expect(helpAt('%%task a', 7, table)).toBeUndefined()
    expect(helpAt('%dag --schedule @daily', 7, table)?.help).toBe('when it runs')
    expect(helpAt('%%task a --unknown', 12, table)).toBeUndefined()
  })

  it('are found at an offset of a text', () => {
    expect(lineAt('a\n%%task b\nc', 5)).toEqual({ line: 2, text: '%%task b', column: 3 })
    expect(lineAt('', 0)).toEqual({ line: 1, text: '', column: 0 })
  })
})

describe('an edit', () => {
  it.each([
    ['a\nb\nc', 0, 0],
    ['a\nb\nc', 2, 4],
    ['a\nb', 2, 3],
    ['', 1, 0],
  ])('of the first lines ends where the next line begins', (source, lines, offset) => {
    expect(offsetOfLine(source, lines)).toBe(offset)
  })
})

describe('the role of a cell', () => {
  it.each([
    ['task', 'task', [], 'task'],
    ['task', '', [], 'task'],
    ['setup', '', [], 'code'],
    ['setup', 'setup', [], 'setup'],
    ['parameters', '', ['parameters'], 'parameters'],
    ['scratch', '', ['skip-execution'], 'skip'],
    [undefined, '', [1, null], 'code'],
  ] as const)('is that of its own header or tag', (analysed, kind, tags, role) => {
    expect(roleOf(analysed, kind, tags)).toBe(role)
  })
})

describe('settings', () => {
  it('of a wrong type are ignored', () => {
    expect(readSettings({ badges: false, problems: 'yes', other: 1 })).toEqual({ badges: false })
  })
})
