// The JupyterLab extension: one plugin, which connects the parts of this folder to the services of JupyterLab.
//
// Notebook 7 has the same notebooks without a launcher and a status bar; parts whose service is missing are left out.
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application'
import { ICommandPalette } from '@jupyterlab/apputils'
import { IEditorExtensionRegistry } from '@jupyterlab/codemirror'
import { ICompletionProviderManager } from '@jupyterlab/completer'
import { ILauncher } from '@jupyterlab/launcher'
import { type Executed, INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook'
import { ISettingRegistry } from '@jupyterlab/settingregistry'
import { IStatusBar } from '@jupyterlab/statusbar'
import type { Token } from '@lumino/coreutils'
import { EXECUTE, type ExecuteRequest } from '../components/state/transport'
import '../components/style.css'
import { live } from '../page/live'
import { Badges } from './badges'
import { Book } from './book'
import { addCommands, OPEN_PAGE, PALETTE } from './commands'
import { HeaderCompletion } from './completion'
import { addEditorExtensions } from './editor'
import { KernelLink } from './kernel'
import './lab.css'
import { executeCells, jump, placeOf } from './cells'
import { OptionHelp } from './options'
import { readSettings, type Settings } from './settings'
import { SidePanel } from './sidePanel'
import { RunningItem } from './statusItem'

export const ID = 'nbdag:plugin'
const OPTIONAL = [
  ICommandPalette,
  IEditorExtensionRegistry,
  ICompletionProviderManager,
  ILauncher,
  ILayoutRestorer,
  ISettingRegistry,
  IStatusBar,
].filter((token): token is Token<never> => token !== undefined) // undefined: the application does not have this module

const RECORDS = /^\s*%%dag\b|^\s*%nbdag\s+load\b/m // matches a cell that builds tasks or loads a task from a run

function activate(app: JupyterFrontEnd, tracker: INotebookTracker, ...services: unknown[]): void {
  const service = <T>(token: Token<T> | undefined): T | undefined => {
    const index = OPTIONAL.indexOf(token as Token<never>)
    return (index < 0 ? undefined : (services[index] ?? undefined)) as T | undefined
  }
  const settings: Settings = { badges: true, problems: true, loadInKernel: true, status: true }
  const options = new OptionHelp()
  const books = new Map<NotebookPanel, Book>()
  const badges: Badges[] = []
  const links = new Map<NotebookPanel, KernelLink>()
  const current = () => {
    const panel = tracker.currentWidget
    if (panel) add(panel) // the tracker may not have reported its current widget as added yet
    return panel ? books.get(panel) : undefined
  }
  const side = new SidePanel(options, (book, task, run) => {
    const link = links.get(book.panel)
    return link ? link.load(task, run) : Promise.reject(new Error('The notebook is closed.'))
  })
  app.shell.add(side, 'right', { rank: 1200 })
  service(ILayoutRestorer)?.add(side, side.id)

  const show = (task = false) => {
    app.shell.expandRight?.()
    app.shell.activateById(side.id)
    if (task) side.focusName()
  }
  const add = (panel: NotebookPanel) => {
    if (books.has(panel)) return
    const book = new Book(panel)
    books.set(panel, book)
    links.set(panel, new KernelLink(book, () => settings.loadInKernel))
    const shown = new Badges(
      book,
      () => settings,
      (cell) => {
        book.notebook.activeCellIndex = book.notebook.widgets.indexOf(cell)
        show()
      },
    )
    badges.push(shown)
    panel.disposed.connect(() => {
      books.delete(panel)
      links.delete(panel)
      badges.splice(badges.indexOf(shown), 1)
      side.forget(book)
    })
  }
  tracker.forEach(add)
  tracker.widgetAdded.connect((_, panel) => add(panel))
  const follow = () => side.show_(current())
  tracker.currentChanged.connect(follow)
  follow()

  const bookOf = ({ notebook }: Executed) => [...books.values()].find((book) => book.notebook === notebook)
  NotebookActions.executionScheduled.connect((_, executed) => {
    const book = bookOf(executed)
    if (!book || executed.cell.model.type !== 'code') return
    links.get(book.panel)?.ensure() // load the extension before the cell is sent, so that the magic exists
    book.executions.begin(executed.cell)
    book.schedule(0)
  })
  NotebookActions.executed.connect((_, executed) => {
    const book = bookOf(executed)
    if (!book || executed.cell.model.type !== 'code') return
    const { success, error } = executed
    const reason = error ? `${error.errorName}: ${error.errorValue}` : 'the cell failed'
    book.executions.end(executed.cell, success === false ? reason : undefined)
    if (RECORDS.test(executed.cell.model.sharedModel.getSource())) links.get(book.panel)?.readExecutions()
    book.schedule(0)
    const place = placeOf(executed.cell)
    if (place) void jump(book, place.cell, place.line)
  })

  // The widget asks for the execution of cells, so that the notebook shows them as executed.
  document.addEventListener(EXECUTE, (event) => {
    const request = event as CustomEvent<ExecuteRequest>
    const book = [...books.values()].find(({ panel }) => panel.node.contains(event.target as Node))
    if (book) request.detail.done = executeCells(book, request.detail.cells)
  })

  const bookOfPanel = (panel: unknown) => {
    add(panel as NotebookPanel)
    return books.get(panel as NotebookPanel)
  }
  addCommands(app, {
    bookOf: bookOfPanel,
    current,
    show,
    isShown: () => side.isVisible,
    showRun: (book, run) => side.showRun(book, run),
  })
  const palette = service(ICommandPalette)
  for (const item of PALETTE) palette?.addItem({ ...item, category: 'Pipelines' })
  service(ILauncher)?.add({ command: OPEN_PAGE, category: 'Other', rank: 1 })
  service(ICompletionProviderManager)?.registerProvider(new HeaderCompletion(current))
  const editors = service(IEditorExtensionRegistry)
  if (editors) addEditorExtensions(editors, options)
  const item = new RunningItem()
  service(IStatusBar)?.registerStatusItem('nbdag:running', { item, align: 'left', rank: 900 })

  const apply = () => {
    item.show_(settings.status)
    for (const each of badges) each.draw()
    for (const each of links.values()) each.ensure()
  }
  service(ISettingRegistry)
    ?.load(ID)
    .then(
      (loaded) => {
        const read = () => {
          Object.assign(settings, readSettings(loaded.composite))
          apply()
        }
        loaded.changed.connect(read)
        read()
      },
      () => apply(), // the default settings apply
    )
  live.start()
}

const plugin: JupyterFrontEndPlugin = {
  id: ID,
  description: 'Tag cells as tasks by pointing; see, run and deploy the pipeline of a notebook.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: OPTIONAL,
  activate,
}

export default plugin
