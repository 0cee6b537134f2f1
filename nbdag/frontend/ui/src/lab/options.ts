// The table of options. The server generates it from the declarations of options. The first use requests it.
import type { OptionTable } from '../messages'
import { api } from '../page/api'
import { Emitter } from './events'

export class OptionHelp {
  readonly changed = new Emitter()
  private found: OptionTable | undefined
  private asked: Promise<OptionTable | undefined> | undefined

  /** The table, or undefined until the server has answered. */
  get table(): OptionTable | undefined {
    void this.load()
    return this.found
  }

  /** Return the table when the server has answered, or undefined if it cannot. */
  load(): Promise<OptionTable | undefined> {
    this.asked ??= api.get<OptionTable>('options').then(
      (table) => {
        this.found = table
        this.changed.emit()
        return table
      },
      () => {
        this.asked = undefined // the next use repeats the request
        return undefined
      },
    )
    return this.asked
  }
}
