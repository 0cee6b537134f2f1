// The parts of a cell's editor: lines with problems are marked, and the words of a header show their help under the
// pointer.

import { StateEffect, StateField } from '@codemirror/state'
import { Decoration, type DecorationSet, EditorView, hoverTooltip } from '@codemirror/view'
import { EditorExtensionRegistry, type IEditorExtensionRegistry } from '@jupyterlab/codemirror'
import type { CellProblem } from '../messages'
import { helpAt, isInHeader } from './headers'
import type { OptionHelp } from './options'

const setProblems = StateEffect.define<readonly CellProblem[]>()
const shown = new WeakMap<EditorView, string>() // what is marked in each editor

/** Mark the lines of these problems in an editor. */
export function markLines(editor: EditorView | undefined, problems: readonly CellProblem[]): void {
  const key = problems.length ? JSON.stringify(problems) : ''
  if (!editor || (shown.get(editor) ?? '') === key) return
  shown.set(editor, key)
  editor.dispatch({ effects: setProblems.of(problems) })
}

export function addEditorExtensions(registry: IEditorExtensionRegistry, options: OptionHelp): void {
  const marks = StateField.define<DecorationSet>({
    create: () => Decoration.none,
    update(value, { changes, effects, state }) {
      let found = value.map(changes)
      for (const effect of effects) if (effect.is(setProblems)) found = decorations(effect.value, state.doc)
      return found
    },
    provide: (field) => EditorView.decorations.from(field),
  })
  const help = hoverTooltip(async (view, position) => {
    const line = view.state.doc.lineAt(position)
    if (!isInHeader((number) => view.state.doc.line(number).text, line.number)) return null
    const found = helpAt(line.text, position - line.from, await options.load())
    if (!found) return null
    return {
      pos: line.from + found.start,
      end: line.from + found.end,
      above: true,
      create() {
        const dom = document.createElement('div')
        dom.className = 'nbdag-hover'
        const name = document.createElement('strong')
        name.textContent = found.name
        const text = document.createElement(found.preformatted ? 'pre' : 'p')
        text.textContent = found.help
        dom.append(name, text)
        return { dom }
      },
    }
  })
  registry.addExtension({
    name: 'nbdag',
    factory: () => EditorExtensionRegistry.createImmutableExtension([marks, help]),
  })
}

function decorations(
  problems: readonly CellProblem[],
  doc: { lines: number; line(n: number): { from: number } },
): DecorationSet {
  const worst = new Map<number, CellProblem>() // by line
  for (const each of problems) {
    if (each.line === null || each.line < 1 || each.line > doc.lines) continue
    if (worst.get(each.line)?.severity !== 'error') worst.set(each.line, each)
  }
  const lines = [...worst].sort(([a], [b]) => a - b)
  return Decoration.set(
    lines.map(([line, { severity, message }]) =>
      Decoration.line({ class: `nbdag-line-${severity}`, attributes: { title: message } }).range(doc.line(line).from),
    ),
  )
}
