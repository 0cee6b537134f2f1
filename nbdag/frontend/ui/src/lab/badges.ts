// The badge above a cell: its role, the task's name, its place in the order, its state, and the cell's problems.
//
// A badge is an element in JupyterLab's header of the cell, so it scrolls and disappears with the cell. That header is
// otherwise empty; a cell far from the visible part may have none yet. Only badges with a changed text are drawn again.
import type { Cell } from '@jupyterlab/notebook'
import { seconds } from '../components/format'
import { stateStyle } from '../components/Sign'
import type { CellInfo, CellProblem, TaskStatus } from '../messages'
import type { Book } from './book'
import { markLines } from './editor'

const SVG = 'http://www.w3.org/2000/svg'
const ROLES: Partial<Record<CellInfo['role'], string>> = {
  parameters: 'parameters',
  setup: 'setup',
  builder: 'builds tasks',
  scratch: 'not in runs',
}

export interface Shown {
  badges: boolean
  problems: boolean
}

export class Badges {
  private number = 0
  private readonly latest = new WeakMap<Cell, number>() // number of the latest drawing of each cell

  constructor(
    private readonly book: Book,
    private readonly shown: () => Shown,
    private readonly onClick: (cell: Cell) => void,
  ) {
    book.changed.on(() => this.draw())
  }

  draw(): void {
    const { badges, problems } = this.shown()
    const { analysis } = this.book
    const isPipeline = analysis?.cells.some(({ role }) => role === 'task' || role === 'builder') ?? false
    for (const cell of this.book.notebook.widgets) {
      const isBlank = !cell.model.sharedModel.getSource().trim()
      const info = isPipeline && !isBlank ? this.book.info(cell) : undefined
      const found = problems ? this.book.problems(cell) : []
      const number = ++this.number
      this.latest.set(cell, number)
      void cell.ready.then(() => {
        if (cell.isDisposed || this.latest.get(cell) !== number) return
        this.drawOne(cell, badges ? info : undefined, found)
        markLines(cell.editor?.editor, found, this.book.analysis?.explanations ?? {})
      })
    }
  }

  private drawOne(cell: Cell, info: CellInfo | undefined, problems: CellProblem[]): void {
    const status = info?.task ? this.book.analysis?.statuses[info.task] : undefined
    const words = info ? describe(info, status) : undefined
    const place = cell.node.querySelector<HTMLElement>(':scope > .jp-CellHeader')
    if (!place) return
    const old = place.querySelector<HTMLElement>(':scope > .nbdag-badge')
    const explanations = this.book.analysis?.explanations ?? {}
    const key = words || problems.length ? JSON.stringify([words, status?.state, problems]) : ''
    if ((old?.dataset.key ?? '') === key) return
    old?.remove()
    if (!key) return
    const badge = element('div', 'nbdag-badge')
    badge.dataset.key = key
    if (words && info) {
      badge.dataset.role = info.role
      badge.dataset.state = status?.state ?? 'none'
      if (info.dropped) badge.dataset.dropped = 'true'
      const chip = element('button', 'nbdag-chip') as HTMLButtonElement
      chip.type = 'button'
      chip.title = `${words.title}. Click to change.`
      if (info.task) chip.append(sign(status?.state ?? 'none'))
      chip.append(element('span', 'nbdag-chip-name', words.name))
      for (const each of words.notes) chip.append(element('span', 'nbdag-chip-note', each))
      chip.addEventListener('click', () => this.onClick(cell))
      badge.append(chip)
    }
    if (problems.length) {
      const list = element('ul', 'nbdag-cell-problems')
      for (const { severity, line, message, hint, code } of problems) {
        const item = element('li', `nbdag-${severity}`)
        item.title = explanations[code] ?? ''
        const where = line === null ? '' : `line ${line}: `
        item.append(
          element('span', 'nbdag-problem-code', `${severity === 'error' ? '✗' : '△'} ${code}`),
          ` ${where}${message}${hint ? `; ${hint}` : ''}`,
        )
        list.append(item)
      }
      badge.append(list)
    }
    place.append(badge)
  }
}

function describe(info: CellInfo, status: TaskStatus | undefined) {
  const { role, task, order, ignored, dropped } = info
  if (role === 'task') {
    const notes = order ? [`#${order}`] : []
    const { word } = stateStyle(status?.state ?? 'none')
    if (status && status.state !== 'none') {
      notes.push(status.duration === undefined ? word : `${word}, ${seconds(status.duration)}`)
    }
    const why = status?.reason ? `: ${status.reason}` : ''
    return { name: task || 'task without a name', notes, title: `Task ${task}, ${word}${why}` }
  }
  if (role === 'scratch' && ignored) {
    return dropped
      ? {
          name: 'not in runs',
          notes: ['tasks need it'],
          title: 'Runs ignore this cell, although tasks need its effects',
        }
      : { name: 'not in runs', notes: [], title: 'Runs ignore this cell, because it is untagged and below a task' }
  }
  const name = ROLES[role]
  if (name === undefined) return undefined
  const titles: Partial<Record<CellInfo['role'], string>> = {
    parameters: 'The parameters of the pipeline',
    setup: 'This cell runs in the kernel of every task',
    scratch: 'Runs skip this cell',
  }
  return { name, notes: [], title: titles[role] ?? 'Run this cell to build its tasks' }
}

function element(tag: string, name: string, text = ''): HTMLElement {
  const created = document.createElement(tag)
  created.className = name
  created.textContent = text
  return created
}

/** Return the sign of a state, as the graph shows it. */
function sign(state: TaskStatus['state']): SVGElement {
  const { path, filled, colour } = stateStyle(state)
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 12 12')
  svg.setAttribute('class', `nbdag-sign nbdag-is-${state}`)
  svg.setAttribute('aria-hidden', 'true')
  svg.style.color = colour
  for (const [d, kind] of [
    [filled, 'nbdag-filled'],
    [path, 'nbdag-strokes'],
  ] as const) {
    if (!d) continue
    const line = document.createElementNS(SVG, 'path')
    line.setAttribute('d', d)
    line.setAttribute('class', kind)
    svg.append(line)
  }
  return svg
}
