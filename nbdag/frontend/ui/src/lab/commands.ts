// The commands: in the palette, the menus, the toolbars of cells and notebooks (lab/schema/plugin.json places them).
import type { JupyterFrontEnd } from '@jupyterlab/application'
import { Notification } from '@jupyterlab/apputils'
import { Menu } from '@lumino/widgets'
import { save } from '../components/save'
import type { Action, CellProblem, NotebookSuggestion, Role } from '../messages'
import { api } from '../page/api'
import { href, path } from '../page/location'
import type { Book } from './book'
import { explain } from './explain'
import { ROLES } from './Form'
import { pipelineIcon, runIcon, tagIcon } from './icons'

export const OPEN_PAGE = 'nbdag:open-page'
const TAG = 'nbdag:tag'
const NAMES: Record<Role, string> = {
  task: 'Make Cell a Task',
  setup: 'Make Cell Setup',
  parameters: 'Make Cell the Parameters',
  skip: 'Skip Cell in Runs',
  code: 'Remove Tag from Cell',
}
export const PALETTE: readonly { command: string; args?: Record<string, unknown> }[] = [
  { command: 'nbdag:run' },
  { command: 'nbdag:run-to-here' },
  { command: 'nbdag:deploy' },
  { command: 'nbdag:suggest' },
  { command: 'nbdag:rehearse' },
  { command: 'nbdag:show-panel' },
  { command: OPEN_PAGE, args: { isPalette: true } },
  { command: 'nbdag:open-pipeline' },
  ...Object.keys(NAMES).map((role) => ({ command: TAG, args: { role } })),
]

/** Return the result of a rehearsal, with the findings that no cell shows. */
function sentences(summary: string, findings: readonly CellProblem[]): string {
  const general = findings.filter(({ cell }) => cell === null)
  return [`Rehearsal: ${summary}.`, ...general.map(({ message, hint }) => `${message}; ${hint}.`)].join(' ')
}

interface Environment {
  current(): Book | undefined
  show(focusesName?: boolean): void
  isShown(): boolean
  showRun(book: Book, run: string): void
  bookOf(panel: unknown): Book | undefined
}

export function addCommands(
  { commands }: JupyterFrontEnd,
  { current, show, isShown, showRun, bookOf }: Environment,
): void {
  const hasBook = () => current() !== undefined
  const active = () => {
    const book = current()
    const cell = book?.notebook.activeCell
    return book && cell ? { book, cell } : undefined
  }
  const isCode = () => active()?.cell.model.type === 'code'
  const failed = (error: unknown) => {
    Notification.error(explain(error), { autoClose: 10_000 })
  }

  commands.addCommand(TAG, {
    label: ({ role }) => (typeof role === 'string' && role in NAMES ? NAMES[role as Role] : 'Tag Cell…'),
    isEnabled: isCode,
    async execute({ role }) {
      const found = active()
      if (!found || !(String(role) in NAMES)) return
      try {
        await found.book.tag(found.cell, role as Role)
        if (role === 'task') show(true)
      } catch (error) {
        failed(error)
      }
    },
  })
  commands.addCommand('nbdag:choose-role', {
    label: 'Pipeline: Role of the Cell…',
    caption: 'Make the cell a task, setup, parameters, or skip it in runs',
    icon: tagIcon,
    isEnabled: isCode,
    isVisible: isCode,
    execute() {
      const node = active()?.cell.node
      if (!node) return
      const button = node.querySelector<HTMLElement>('[data-command="nbdag:choose-role"]') ?? node
      const menu = new Menu({ commands })
      menu.addClass('nbdag-role-menu')
      for (const role of Object.keys(ROLES)) menu.addItem({ command: TAG, args: { role } })
      menu.addItem({ type: 'separator' })
      menu.addItem({ command: 'nbdag:show-panel' })
      const { left, bottom, top } = button.getBoundingClientRect()
      menu.aboutToClose.connect(() => {
        setTimeout(() => document.activeElement === document.body && button.focus())
      })
      menu.open(left, button === node ? top : bottom)
      // After a command of the cell's toolbar, the notebook focuses the cell. So focus the menu later, for its keys.
      setTimeout(() => menu.node.focus())
    },
  })

  /** Return a function that saves the current notebook and passes it to `act`. If one of the two fails, show why. */
  const withSaved = (act: (book: Book) => Promise<void>) => async () => {
    const book = current()
    if (!book) return
    try {
      await save(book.panel.context)
      await act(book)
    } catch (error) {
      failed(error)
    }
  }

  const run = (action: Action, task = '') =>
    withSaved(async (book) => {
      const { dag, run } = await api.post<{ dag: string; run: string }>('notebooks/run', {
        path: book.path,
        action,
        task,
      })
      showRun(book, run)
      if (isShown()) return
      Notification.info(`Run ${run} of ${dag} has begun.`, {
        autoClose: 6000,
        actions: [
          { label: 'Show here', callback: () => show() },
          { label: 'Open its page', callback: () => window.open(href(path`/dags/${dag}/runs/${run}/graph`)) },
        ],
      })
    })()
  commands.addCommand('nbdag:run', {
    label: 'Run Notebook Headlessly',
    caption: 'Run all tasks of this notebook in the background, each in a kernel of its own',
    icon: runIcon,
    isEnabled: hasBook,
    execute: () => run('all'),
  })
  commands.addCommand('nbdag:run-to-here', {
    label: 'Run Headlessly Up to This Task',
    caption: 'Run this task and all that it needs',
    isEnabled: () => {
      const found = active()
      return found ? Boolean(found.book.info(found.cell)?.task) : false
    },
    async execute() {
      const found = active()
      const task = found?.book.info(found.cell)?.task
      if (task) await run('upto', task)
    },
  })
  commands.addCommand('nbdag:deploy', {
    label: 'Deploy Pipeline',
    caption: 'Give the saved notebook to the scheduler',
    isEnabled: hasBook,
    execute: withSaved(async (book) => {
      const { id } = await api.post<{ id: string }>('dags', { path: book.path })
      Notification.success(`${id} is deployed.`, {
        autoClose: 6000,
        actions: [{ label: 'Open its page', callback: () => window.open(href(path`/dags/${id}/grid`)) }],
      })
    }),
  })
  commands.addCommand('nbdag:suggest', {
    label: 'Propose Tasks for This Notebook',
    caption: 'Open a copy of the notebook with proposed tasks, and the reasons for them; the notebook stays as it is',
    isEnabled: hasBook,
    execute: withSaved(async (book) => {
      const proposal = await api.post<NotebookSuggestion>('notebooks/suggest', { path: book.path })
      const opened = { path: book.inSameDrive(proposal.path), factory: 'Notebook' }
      const copy = bookOf(await commands.execute('docmanager:open', opened))
      copy?.propose(proposal)
      show()
    }),
  })
  commands.addCommand('nbdag:rehearse', {
    label: 'Rehearse Notebook',
    caption: 'Run the notebook twice in the background, and show at its cells how a scheduled run would differ',
    isEnabled: hasBook,
    // Not Notification.promise, because its message would cover the side panel until the rehearsal has ended.
    execute: withSaved(async (book) => {
      Notification.info('The notebook is rehearsed: it runs twice.', { autoClose: 6000 })
      const { summary, findings } = await book.rehearse()
      Notification.success(sentences(summary, findings), { autoClose: 20_000 })
    }),
  })
  commands.addCommand('nbdag:show-panel', {
    label: 'Show Pipeline of the Notebook',
    caption: 'The graph, the runs, and the options of the active cell',
    icon: pipelineIcon,
    isToggled: isShown,
    execute: () => show(),
  })
  commands.addCommand(OPEN_PAGE, {
    label: ({ isPalette }) => (isPalette ? 'Open Page of All Pipelines' : 'Pipelines'),
    caption: 'All pipelines of this server: runs, schedules, logs',
    icon: pipelineIcon,
    execute: () => window.open(href('/')),
  })
  commands.addCommand('nbdag:open-pipeline', {
    label: 'Open Page of This Pipeline',
    isEnabled: () => Boolean(current()?.analysis?.dag),
    execute: () => window.open(href(path`/dags/${current()?.analysis?.dag ?? ''}/grid`)),
  })
}
