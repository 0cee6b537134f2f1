// How the components reach nbdag, whatever carries the messages: a widget's comm here, requests to a server on a page.
import type { Request, Told } from './messages'

export interface Transport {
  /** Ask. What comes of it is heard by whoever listens. */
  send(request: Request): void
  /** Hear all that is told, until the returned function is called. */
  listen(hear: (told: Told) => void): () => void
}

/** What the page around the components can do. What it cannot do is not offered. */
export interface Host {
  /** Write the notebook's unsaved changes to its file. */
  save?(): Promise<void>
  /** Show a line of a cell. The answer says why that is not possible, or is empty. */
  jump?(cell: number, line: number): Promise<string>
}
