// The interfaces between the components and their host: a widget, a page of a server, or JupyterLab.
import type { CellPlace, Message, Request } from '../../messages'

export interface Transport {
  /** Send a request. Every listener receives the answer. */
  send(request: Request): void
  /** Call `receive` with each message, until the returned function is called. */
  listen(receive: (message: Message) => void): () => void
  /** Absent if the host does not know whether requests arrive. */
  connection?: Connection
}

/** The connection to the process that answers (a kernel or a server), as the host knows it. */
export interface Connection {
  status(): ConnectionStatus
  /** Call `call` whenever the status has changed, until the returned function is called. */
  listen(call: () => void): () => void
}

export interface ConnectionStatus {
  open: boolean // whether requests get an answer; otherwise every action is disabled
  busy: boolean // whether answers are delayed, for example until the kernel has executed a cell
  text: string // what the user should know, in one or two sentences; "" if the connection is as it should be
  remedy?: Remedy // what the user can do about a connection that is not open
}

export interface Remedy {
  label: string
  title: string
  /** Return why the remedy has failed, or "" if it has succeeded. */
  apply(): Promise<string>
}

export const OPEN: ConnectionStatus = { open: true, busy: false, text: '' }

/** The event by which a widget asks nbdag's extension of JupyterLab to execute cells of the widget's notebook. */
export const EXECUTE = 'nbdag-execute'

export interface ExecuteRequest {
  cells: readonly CellPlace[]
  done?: Promise<string> // set by the extension; resolves to why the last cells did not run, or ""
}

/** Functions of the page around the components. The components offer only functions that are present here. */
export interface Host {
  /** Save the notebook's unsaved changes to its file. */
  save?(): Promise<void>
  /** Execute cells in the notebook's kernel, in this order. Return why the last cells did not run, or "". */
  execute?(cells: readonly CellPlace[]): Promise<string>
  /** Show a line of a cell. Return why the line cannot be shown, or "" if it is shown. */
  jump?(cell: number, line: number): Promise<string>
}
