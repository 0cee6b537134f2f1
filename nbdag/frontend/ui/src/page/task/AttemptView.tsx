// One attempt: its times, its error, its outputs and its log.

import { useMemo, useState } from 'preact/hooks'
import { LogView } from '../../components/log/LogView'
import type { LogPart, LogSource } from '../../components/log/useLog'
import { Outputs } from '../../components/panel/Outputs'
import { Sign, stateStyle } from '../../components/Sign'
import type { Attempt, AttemptMessage } from '../../messages'
import { apiAddress, ProblemError, request } from '../api'
import { instanceName } from '../run/links'
import type { ShownRun } from '../run/runStore'
import { type Shortcut, useShortcuts } from '../shortcuts'
import { Loaded } from '../states'
import { Time } from '../Time'
import { runAddress } from '../transport'
import { useResource } from '../useResource'

interface Props {
  attempt: Attempt
  task: string
  shown: ShownRun
}

const LOG_KEYS: readonly Shortcut[] = [
  { keys: 'Ctrl F', label: 'Search the log' },
  { keys: 'Enter', label: 'Next match' },
  { keys: 'Shift Enter', label: 'Previous match' },
]

export function AttemptView({ attempt, task, shown: { dag, run } }: Props) {
  const { map_index, try_number, state, started, ended, error, host, notes } = attempt
  const live = state === 'running' || state === 'restarting'
  const address = runAddress(dag, run, `tasks/${encodeURIComponent(task)}/attempts/${map_index}/${try_number}`)
  // The state is added to the URL as a fragment, which is not sent. A new state thus gives a new URL, and the
  // data is loaded again.
  const answer = useResource<AttemptMessage>(
    `${address}#${state}`,
    (change) => live && change.dag === dag && change.run === run,
  )
  const source = useMemo(() => logSource(`${address}/log`), [address])
  const outputs = answer.data?.outputs
  // Text is easier to read in the log, so only pictures and tables count as rich.
  const isRich = outputs?.some(({ mime }) => !mime.startsWith('text/') || mime === 'text/html')
  const [chosen, setView] = useState<'output' | 'log'>()
  const view = chosen ?? (isRich && state === 'success' ? 'output' : 'log')
  const name = `${instanceName(task, map_index)}, try ${try_number}`
  useShortcuts('In the log', view === 'log' ? LOG_KEYS : [])
  return (
    <section class="task-attempt" aria-label={name}>
      <p class="run-facts">
        {map_index < 0 ? null : <b>{instanceName(task, map_index)}</b>}
        <span>
          <Sign state={state} /> {stateStyle(state).word}
        </span>
        {started === null ? null : (
          <span>
            started <Time at={started} exact />
          </span>
        )}
        {ended === null ? null : (
          <span>
            ended <Time at={ended} exact />
          </span>
        )}
        {host ? <span>on {host}</span> : null}
      </p>
      {error ? <p class={`nbdag-reason nbdag-is-${state}`}>{error}</p> : null}
      {notes.map((note) => (
        <p key={note} class="nbdag-reason nbdag-is-stale">
          {note}
        </p>
      ))}
      <div class="task-views" role="group" aria-label="What to show of the attempt">
        <button type="button" aria-pressed={view === 'output'} onClick={() => setView('output')}>
          Output
          {outputs?.length ? <span class="nbdag-muted"> {outputs.length}</span> : null}
        </button>
        <button type="button" aria-pressed={view === 'log'} onClick={() => setView('log')}>
          Log
        </button>
      </div>
      {view === 'log' ? (
        <LogView source={source} live={live} label={`Log of ${name}`} />
      ) : (
        <Loaded of={answer} lines={3}>
          {(found) => <Output answer={found} live={live} label={name} />}
        </Loaded>
      )}
    </section>
  )
}

interface OutputProps {
  answer: AttemptMessage
  live: boolean
  label: string
}

function Output({ answer: { outputs, rendered }, live, label }: OutputProps) {
  return (
    <>
      {outputs.length ? (
        <Outputs outputs={outputs} label={label} />
      ) : (
        <p class="nbdag-muted">{live ? 'No output yet.' : 'No output.'}</p>
      )}
      {rendered.map(([what, text]) => (
        <details key={what}>
          <summary>Rendered: {what}</summary>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
          <pre class="nbdag-text" tabIndex={0}>
            {text}
          </pre>
        </details>
      ))}
    </>
  )
}

/** Return the source of an attempt's log, which is read part by part. */
export function logSource(address: string): LogSource {
  const read = async (offset: number, limit: number, signal: AbortSignal): Promise<LogPart | undefined> => {
    let response: Response
    try {
      response = await request(address, { query: { offset: String(offset), limit }, signal })
    } catch (error) {
      if (error instanceof ProblemError && error.status === 404) return undefined // the attempt has not started
      throw error
    }
    const bytes = new Uint8Array(await response.arrayBuffer())
    const header = (name: string) => Number(response.headers.get(name) ?? 0)
    return { bytes, start: header('Log-Offset'), size: header('Log-Size') }
  }
  return {
    key: address,
    address: apiAddress(address, { download: true }),
    tail: (count, signal) => read(-count, count, signal),
    read,
  }
}
