// The table of options, which the server has from the declarations of the options; it is read once, when it is needed.
import type { OptionTable } from '../messages'
import { api } from '../page/api'
import { Emitter } from './events'

export class OptionHelp {
  readonly changed = new Emitter()
  private found: OptionTable | undefined
  private asked = false

  /** The table, or undefined until the server has answered. */
  get table(): OptionTable | undefined {
    if (!this.asked) {
      this.asked = true
      api.get<OptionTable>('options').then(
        (table) => {
          this.found = table
          this.changed.emit()
        },
        () => {
          this.asked = false // the next use asks again
        },
      )
    }
    return this.found
  }
}
