// Additions to the editor of a cell: lines with problems are marked, and a word of a header shows its help if the
// pointer is over it.

import { StateEffect, StateField } from '@codemirror/state'
import { Decoration, type DecorationSet, EditorView, hoverTooltip } from '@codemirror/view'
import { EditorExtensionRegistry, type IEditorExtensionRegistry } from '@jupyterlab/codemirror'
import type { CellProblem } from '../messages'
import { helpAt, isInHeader } from './headers'
import type { OptionHelp } from './options'

const setProblems = StateEffect.define<readonly CellProblem[]>()
const shown = new WeakMap<EditorView, string>() // what is marked in each editor
const marked = new WeakMap<EditorView, readonly CellProblem[]>()
const texts = new Map<string, string>() // the explanation of each code

/** Mark the lines of these problems in an editor. A line under the pointer shows the explanations of its codes. */
export function markLines(
  editor: EditorView | undefined,
  problems: readonly CellProblem[],
  explanations: Readonly<Record<string, string>>,
): void {
  for (const [code, text] of Object.entries(explanations)) texts.set(code, text)
  const key = problems.length ? JSON.stringify(problems) : ''
  if (!editor || (shown.get(editor) ?? '') === key) return
  shown.set(editor, key)
  marked.set(editor, problems)
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
  const explanation = hoverTooltip(async (view, position) => {
    const line = view.state.doc.lineAt(position)
    const problems = (marked.get(view) ?? []).filter((each) => each.line === line.number)
    if (!problems.length) return null
    return { pos: line.from, end: line.from + line.text.length, create: () => ({ dom: explained(problems) }) }
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
    factory: () => EditorExtensionRegistry.createImmutableExtension([marks, explanation, help]),
  })
}

function explained(problems: readonly CellProblem[]): HTMLElement {
  const dom = document.createElement('div')
  dom.className = 'nbdag-hover'
  for (const { message, hint, code } of problems) {
    const sentence = document.createElement('p')
    sentence.textContent = `${message}${hint ? `; ${hint}` : ''}`
    const text = document.createElement('pre')
    text.textContent = texts.get(code) ?? code
    dom.append(sentence, text)
  }
  return dom
}

function decorations(
  problems: readonly CellProblem[],
  doc: { lines: number; line(n: number): { from: number } },
): DecorationSet {
  const worst = new Map<number, CellProblem>() // key: line
  for (const each of problems) {
    if (each.line === null || each.line < 1 || each.line > doc.lines) continue
    if (worst.get(each.line)?.severity !== 'error') worst.set(each.line, each)
  }
  const lines = [...worst].sort(([a], [b]) => a - b)
  return Decoration.set(
    lines.map(([line, { severity }]) =>
      Decoration.line({ class: `nbdag-line-${severity}` }).range(doc.line(line).from),
    ),
  )
}
