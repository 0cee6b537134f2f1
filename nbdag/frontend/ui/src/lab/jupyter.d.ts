// The parts of JupyterLab 4.2 to 4.6 and Notebook 7 that the extension uses. JupyterLab's own type packages would
// bring some 300 packages into the build; the tests in a browser check that these declarations are true.

declare module '@lumino/signaling' {
  export interface ISignal<Sender, Args> {
    connect(slot: (sender: Sender, args: Args) => void, thisArg?: unknown): boolean
    disconnect(slot: (sender: Sender, args: Args) => void, thisArg?: unknown): boolean
  }
}

declare module '@lumino/coreutils' {
  export class Token<T> {
    readonly name: string
    private readonly type: T
  }
}

declare module '@lumino/widgets' {
  import type { CommandRegistry } from '@lumino/commands'
  import type { ISignal } from '@lumino/signaling'

  export class Widget {
    constructor(options?: { node?: HTMLElement })
    readonly node: HTMLElement
    readonly isVisible: boolean
    readonly isDisposed: boolean
    readonly disposed: ISignal<this, undefined>
    readonly parent: Widget | null
    id: string
    title: { label: string; caption: string; icon: unknown; iconLabel: string }
    addClass(name: string): void
    dispose(): void
    update(): void
    protected onAfterShow(message: unknown): void
    protected onAfterHide(message: unknown): void
  }
  export class Menu extends Widget {
    constructor(options: { commands: CommandRegistry })
    addItem(item: { command?: string; args?: Record<string, unknown>; type?: 'separator' | 'command' }): unknown
    open(x: number, y: number): void
    readonly aboutToClose: ISignal<this, undefined>
  }
}

declare module '@lumino/commands' {
  type Args = Record<string, unknown>
  export class CommandRegistry {
    addCommand(
      id: string,
      options: {
        label: string | ((args: Args) => string)
        caption?: string
        icon?: unknown
        execute(args: Args): unknown
        isEnabled?(args: Args): boolean
        isVisible?(args: Args): boolean
        isToggled?(args: Args): boolean
        describedBy?: unknown
      },
    ): unknown
    execute(id: string, args?: Args): Promise<unknown>
    notifyCommandChanged(id?: string): void
  }
}

declare module '@jupyterlab/application' {
  import type { CommandRegistry } from '@lumino/commands'
  import type { Token } from '@lumino/coreutils'
  import type { Widget } from '@lumino/widgets'

  export interface JupyterFrontEnd {
    readonly commands: CommandRegistry
    readonly shell: {
      add(widget: Widget, area: string, options?: { rank?: number }): void
      activateById(id: string): void
      expandRight?(): void
    }
    readonly restored: Promise<void>
  }
  /** A plugin: `requires` and `optional` name the tokens whose services `activate` receives, in this order. */
  export interface JupyterFrontEndPlugin {
    id: string
    description: string
    autoStart: true
    requires: Token<unknown>[]
    optional: Token<unknown>[]
    // biome-ignore lint/suspicious/noExplicitAny: the services have the types of the tokens
    activate(app: JupyterFrontEnd, ...services: any[]): void
  }
  export interface ILayoutRestorer {
    add(widget: Widget, name: string): void
  }
  export const ILayoutRestorer: Token<ILayoutRestorer>
}

declare module '@jupyterlab/apputils' {
  import type { Token } from '@lumino/coreutils'
  export interface ICommandPalette {
    addItem(item: { command: string; category: string; args?: Record<string, unknown> }): unknown
  }
  export const ICommandPalette: Token<ICommandPalette>
  export const Notification: {
    info(text: string, options?: NotificationOptions): string
    success(text: string, options?: NotificationOptions): string
    error(text: string, options?: NotificationOptions): string
  }
  interface NotificationOptions {
    autoClose?: number | false
    actions?: { label: string; callback(event: unknown): void }[]
  }
}

declare module '@jupyterlab/settingregistry' {
  import type { Token } from '@lumino/coreutils'
  import type { ISignal } from '@lumino/signaling'
  export interface ISettings {
    readonly composite: Record<string, unknown>
    readonly changed: ISignal<ISettings, undefined>
  }
  export interface ISettingRegistry {
    load(plugin: string): Promise<ISettings>
  }
  export const ISettingRegistry: Token<ISettingRegistry>
}

declare module '@jupyterlab/launcher' {
  import type { Token } from '@lumino/coreutils'
  export interface ILauncher {
    add(item: { command: string; category: string; rank?: number }): unknown
  }
  export const ILauncher: Token<ILauncher>
}

declare module '@jupyterlab/statusbar' {
  import type { Token } from '@lumino/coreutils'
  import type { Widget } from '@lumino/widgets'
  export interface IStatusBar {
    registerStatusItem(id: string, item: { item: Widget; align: string; rank?: number }): unknown
  }
  export const IStatusBar: Token<IStatusBar>
}

declare module '@jupyterlab/ui-components' {
  export class LabIcon {
    constructor(options: { name: string; svgstr: string })
  }
}

declare module '@jupyterlab/coreutils' {
  export const PageConfig: { getBaseUrl(): string; getOption(name: string): string }
}

declare module '@jupyterlab/completer' {
  import type { Token } from '@lumino/coreutils'
  export interface Completions {
    start: number
    end: number
    items: { label: string; insertText?: string; type?: string; documentation?: string }[]
  }
  export interface ICompletionProvider {
    readonly identifier: string
    readonly rank: number
    readonly renderer: undefined
    isApplicable(context: unknown): Promise<boolean>
    fetch(request: { offset: number; text: string }, context: unknown): Promise<Completions>
  }
  export interface ICompletionProviderManager {
    registerProvider(provider: ICompletionProvider): void
  }
  export const ICompletionProviderManager: Token<ICompletionProviderManager>
}

declare module '@codemirror/state' {
  export type Extension = unknown
  export interface Line {
    from: number
    to: number
    number: number
    text: string
  }
  export interface Text {
    lines: number
    line(number: number): Line
    lineAt(position: number): Line
  }
  export interface StateEffect<T> {
    value: T
    is<U>(type: StateEffectType<U>): this is StateEffect<U>
  }
  export interface StateEffectType<T> {
    of(value: T): StateEffect<T>
  }
  export const StateEffect: { define<T>(): StateEffectType<T> }
  export interface Transaction {
    docChanged: boolean
    changes: unknown
    effects: readonly StateEffect<unknown>[]
    state: { doc: Text }
  }
  export const StateField: {
    define<T>(config: {
      create(): T
      update(value: T, transaction: Transaction): T
      provide(field: unknown): Extension
    }): Extension
  }
}

declare module '@codemirror/view' {
  import type { Extension, StateEffect, Text } from '@codemirror/state'
  export interface DecorationSet {
    map(changes: unknown): DecorationSet
  }
  interface Placed {
    range(from: number): unknown
  }
  export const Decoration: {
    none: DecorationSet
    set(ranges: unknown[], sort?: boolean): DecorationSet
    line(spec: { class: string; attributes?: Record<string, string> }): Placed
  }
  export const EditorView: { decorations: { from(field: unknown): Extension } }
  export interface EditorView {
    state: { doc: Text }
    dispatch(spec: { effects: StateEffect<unknown> }): void
  }
  export function hoverTooltip(
    source: (
      view: EditorView,
      position: number,
    ) => Promise<{ pos: number; end?: number; above?: boolean; create(): { dom: HTMLElement } } | null>,
  ): Extension
}

declare module '@jupyterlab/codemirror' {
  import type { Extension } from '@codemirror/state'
  import type { Token } from '@lumino/coreutils'

  interface Factory {
    name: string
    factory(): unknown
  }
  export interface IEditorExtensionRegistry {
    addExtension(factory: Factory): void
  }
  export const IEditorExtensionRegistry: Token<IEditorExtensionRegistry>
  export const EditorExtensionRegistry: { createImmutableExtension(extension: Extension): unknown }
}

declare module '@jupyterlab/notebook' {
  import type { EditorView } from '@codemirror/view'
  import type { Token } from '@lumino/coreutils'
  import type { ISignal } from '@lumino/signaling'
  import type { Widget } from '@lumino/widgets'

  export interface SharedCell {
    getSource(): string
    updateSource(start: number, end: number, text: string): void
    transact(change: () => void): void
  }
  export interface CellModel {
    readonly id: string
    readonly type: 'code' | 'markdown' | 'raw'
    readonly sharedModel: SharedCell
    getMetadata(key: string): unknown
    setMetadata(key: string, value: unknown): void
    deleteMetadata(key: string): void
    readonly outputs?: { readonly length: number; get(index: number): { readonly data: Record<string, unknown> } }
  }
  export interface Cell extends Widget {
    readonly model: CellModel
    readonly ready: Promise<void>
    readonly isHidden: boolean
    readonly editor: {
      editor?: EditorView
      focus(): void
      revealPosition(position: { line: number; column: number }): void
    } | null
  }
  export interface NotebookModel {
    readonly cells: { readonly length: number; get(index: number): CellModel }
    readonly contentChanged: ISignal<NotebookModel, undefined>
    readonly defaultKernelLanguage: string
    readonly sharedModel: {
      insertCell(index: number, cell: { cell_type: 'code'; source: string; metadata: object }): unknown
    }
    readonly dirty: boolean
    readonly collaborative?: boolean
    readonly stateChanged: ISignal<NotebookModel, unknown>
  }
  export interface Notebook extends Widget {
    readonly widgets: readonly Cell[]
    readonly activeCell: Cell | null
    activeCellIndex: number
    readonly model: NotebookModel | null
    readonly activeCellChanged: ISignal<Notebook, Cell | null>
    readonly modelContentChanged: ISignal<Notebook, undefined>
    scrollToItem(index: number, align: 'center'): Promise<void>
  }
  export interface Kernel {
    readonly id: string
    readonly clientId: string
    readonly status: string
    requestExecute(content: {
      code: string
      silent: boolean
      store_history: boolean
      stop_on_error: boolean
      user_expressions?: Record<string, string>
    }): { readonly done: Promise<{ content: ExecuteReply }> }
  }
  export interface ExecuteReply {
    status: string
    user_expressions?: Record<string, { status: string; data?: Record<string, unknown> }>
  }
  /** A message that a kernel sends to all its clients; here, only messages about executions are used. */
  export interface IOPubMessage {
    readonly header: { readonly msg_type: string }
    readonly parent_header: { readonly session?: string }
  }
  export interface SessionContext {
    readonly iopubMessage: ISignal<SessionContext, IOPubMessage>
    readonly session: { readonly kernel: Kernel | null } | null
    readonly ready: Promise<void>
    readonly kernelChanged: ISignal<SessionContext, unknown>
    readonly statusChanged: ISignal<SessionContext, string>
  }
  export interface NotebookPanel extends Widget {
    readonly content: Notebook
    readonly context: {
      readonly path: string
      readonly ready: Promise<void>
      readonly model: NotebookModel
      readonly pathChanged: ISignal<unknown, string>
      save(): Promise<void>
    }
    readonly sessionContext: SessionContext
    readonly revealed: Promise<void>
  }
  export interface INotebookTracker {
    readonly currentWidget: NotebookPanel | null
    readonly currentChanged: ISignal<INotebookTracker, NotebookPanel | null>
    readonly widgetAdded: ISignal<INotebookTracker, NotebookPanel>
    forEach(call: (panel: NotebookPanel) => void): void
  }
  export const INotebookTracker: Token<INotebookTracker>
  interface Executed {
    notebook: Notebook
    cell: Cell
    success?: boolean
    error?: { errorName: string; errorValue: string } | null
  }
  export const NotebookActions: {
    readonly executionScheduled: ISignal<unknown, Executed>
    readonly executed: ISignal<unknown, Executed>
    /** Execute cells in this order. Return whether all succeeded. */
    runCells(notebook: Notebook, cells: readonly Cell[], context: SessionContext): Promise<boolean>
  }
}
