// Whether the widget's kernel still answers. JupyterLab and Notebook 7 report the kernel's status; a widget whose
// kernel was restarted never gets an answer again, because the new kernel does not know it.
import { type Connection, type ConnectionStatus, OPEN, type Remedy } from '../components/state/transport'
import { cellOf, executeCell, type Kernel, type Manager } from './notebook'

interface Signal<Value> {
  connect(call: (sender: unknown, value: Value) => void): void
  disconnect(call: (sender: unknown, value: Value) => void): void
}
interface SessionContext {
  session?: { kernel?: Kernel | null } | null
  statusChanged: Signal<string>
  kernelChanged: Signal<unknown>
  connectionStatusChanged: Signal<string>
}

// Kernel statuses after which this kernel's process has ended.
const ENDED: ReadonlySet<string> = new Set(['restarting', 'autorestarting', 'dead', 'terminating'])
const RESTARTED =
  'The kernel was restarted, so this graph no longer follows it and shows its last state. Headless runs continue.'
const LOST = 'The connection to the kernel is lost; the page connects again by itself once the server answers.'
const SILENT = 'The kernel has ended or was restarted, so this graph shows its last state: execute %dag again.'

/** Return the connection to the kernel and a function that ends it; undefined if the page reports no status. */
export function kernelConnection(
  manager: unknown,
  id: string,
): { connection: Connection; close: () => void } | undefined {
  const session = (manager as { context?: { sessionContext?: SessionContext } } | undefined)?.context?.sessionContext
  if (!session?.statusChanged || !session.connectionStatusChanged) return undefined
  const listeners = new Set<() => void>()
  const own = session.session?.kernel
  let [ended, lost, busy] = [false, false, own?.status === 'busy']
  const remedy = drawAgain(manager as Manager, id, session)
  const status = (): ConnectionStatus => {
    if (ended) return { open: false, busy: false, text: RESTARTED, remedy }
    return { open: !lost, busy, text: lost ? LOST : '' }
  }
  const publish = () => {
    for (const call of [...listeners]) call()
  }
  const onStatus = (_: unknown, now: string) => {
    ended ||= ENDED.has(now)
    busy = now === 'busy'
    publish()
  }
  const onKernel = () => {
    ended ||= session.session?.kernel !== own
    publish()
  }
  const onConnection = (_: unknown, now: string) => {
    lost = now !== 'connected'
    publish()
  }
  session.statusChanged.connect(onStatus)
  session.kernelChanged.connect(onKernel)
  session.connectionStatusChanged.connect(onConnection)
  return {
    connection: {
      status,
      listen(call) {
        listeners.add(call)
        return () => {
          listeners.delete(call)
        }
      },
    },
    close() {
      session.statusChanged.disconnect(onStatus)
      session.kernelChanged.disconnect(onKernel)
      session.connectionStatusChanged.disconnect(onConnection)
    },
  }
}

/** Return a connection for a page that reports nothing: it is open until `fail` is called. */
export function silentConnection(): { connection: Connection; fail: () => void } {
  const listeners = new Set<() => void>()
  let failed = false
  return {
    connection: {
      status: () => (failed ? { open: false, busy: false, text: SILENT } : OPEN),
      listen(call) {
        listeners.add(call)
        return () => {
          listeners.delete(call)
        }
      },
    },
    fail() {
      if (failed) return
      failed = true
      for (const call of [...listeners]) call()
    },
  }
}

/** Return the remedy for a restarted kernel: load nbdag there and execute the widget's cell again. */
function drawAgain(manager: Manager, id: string, session: SessionContext): Remedy {
  return {
    label: 'Draw it again',
    title: 'Load nbdag into the new kernel, and execute this cell again',
    async apply() {
      const cell = await cellOf(manager, id)
      const kernel = session.session?.kernel
      if (!cell || !kernel) return 'The cell cannot be executed from here: execute %load_ext nbdag and %dag.'
      // Silent, because the user asks for the graph and not for the message of %load_ext.
      await kernel.requestExecute({ code: '%load_ext nbdag', silent: true, store_history: false }).done
      await executeCell(kernel, cell)
      return ''
    },
  }
}
