// Completion inside headers: options, their values, names of tasks. The server answers, because the kernel may be busy.
import type { Completions, ICompletionProvider } from '@jupyterlab/completer'
import type { CompleteHeaderRequest, HeaderCompletions } from '../messages'
import { api } from '../page/api'
import type { Book } from './book'
import { isInHeader, lineAt } from './headers'

export class HeaderCompletion implements ICompletionProvider {
  readonly identifier = 'CompletionProvider:nbdag'
  readonly rank = 700 // the completions of the kernel have the lower rank 550
  readonly renderer = undefined

  constructor(private readonly current: () => Book | undefined) {}

  async isApplicable(): Promise<boolean> {
    return true
  }

  async fetch({ offset, text }: { offset: number; text: string }): Promise<Completions> {
    const nothing = { start: offset, end: offset, items: [] }
    const { line, text: words, column } = lineAt(text, offset)
    const lines = text.split('\n')
    if (!isInHeader((number) => lines[number - 1] ?? '', line)) return nothing
    const tasks = this.current()?.analysis?.cells.flatMap(({ task }) => task || []) ?? []
    const groups = this.current()?.analysis?.groups ?? []
    // Python counts a string in code points, JavaScript in UTF-16 units.
    const body: CompleteHeaderRequest = {
      text: words,
      cursor: [...words.slice(0, column)].length,
      tasks: [...tasks, ...groups],
    }
    const { start, items } = await api.post<HeaderCompletions>('headers/complete', body)
    const from = [...words].slice(0, start).join('').length
    return {
      start: offset - column + from,
      end: offset,
      items: items.map(({ text: label, help }) => ({
        label,
        insertText: label,
        type: label.startsWith('-') ? 'option' : 'value',
        ...(help ? { documentation: help } : {}),
      })),
    }
  }
}
