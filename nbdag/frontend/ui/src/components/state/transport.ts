// The interfaces between the components and their host. The host is a widget today, and may be a page of a server.
import type { Message, Request } from '../../messages'

export interface Transport {
  /** Send a request. Every listener receives the answer. */
  send(request: Request): void
  /** Call `receive` with each message, until the returned function is called. */
  listen(receive: (message: Message) => void): () => void
}

/** What the page around the components can do. The components offer only functions that are present here. */
export interface Host {
  /** Save the notebook's unsaved changes to its file. */
  save?(): Promise<void>
  /** Show a line of a cell. Return why the line cannot be shown, or "" if it is shown. */
  jump?(cell: number, line: number): Promise<string>
}
