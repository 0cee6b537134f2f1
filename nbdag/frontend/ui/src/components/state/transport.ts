// The interfaces between the components and their host: a widget's comm today, a server's requests on a page
// of its own.
import type { Message, Request } from '../../messages'

export interface Transport {
  /** Send a request. Its answer reaches every listener. */
  send(request: Request): void
  /** Call `receive` with each message, until the returned function is called. */
  listen(receive: (message: Message) => void): () => void
}

/** The abilities of the page around the components. The components offer only those that are present. */
export interface Host {
  /** Save the notebook's unsaved changes to its file. */
  save?(): Promise<void>
  /** Show a line of a cell. Return why that is not possible, or "". */
  jump?(cell: number, line: number): Promise<string>
}
