// The attempts of a task in a run, with the outputs and the log of the selected attempt.
import { useState } from 'preact/hooks'
import type { Attempt } from '../../messages'
import { plural, seconds } from '../format'
import { Sign, stateStyle } from '../Sign'
import { useAnswer } from '../state/hooks'
import type { Store } from '../state/store'
import { Time } from '../Time'
import { Clip } from './Clip'
import { Outputs } from './Outputs'

const MAX_LINES = 20 // number of lines at the end of a log that are shown at first
const MAX_BUTTONS = 60 // maximum number of attempts that have a button; the latest attempts are shown

interface Props {
  store: Store
  run: string
  task: string
  // The reason that the panel already shows; an attempt does not repeat it as its error.
  reason: string | undefined
}

export function Attempts({ store, run, task, reason, attempts }: Props & { attempts: readonly Attempt[] }) {
  const [selected, setSelected] = useState<number>()
  if (!attempts.length) return null
  const failed = attempts.findLastIndex((each) => each.state === 'failed')
  const fallback = failed >= 0 ? failed : attempts.length - 1
  const index = selected !== undefined && selected < attempts.length ? selected : fallback
  const attempt = attempts[index]
  return (
    <details open>
      <summary>
        Attempts <span class="nbdag-muted">{attempts.length}</span>
      </summary>
      <div class="nbdag-tries" role="group" aria-label="Attempts">
        {attempts.slice(-MAX_BUTTONS).map((each) => {
          const n = attempts.indexOf(each)
          const duration = each.started !== null && each.ended !== null ? seconds(each.ended - each.started) : ''
          return (
            <button type="button" key={n} aria-pressed={n === index} onClick={() => setSelected(n)}>
              <Sign state={each.state} word={stateStyle(each.state).word} /> {name(each)}{' '}
              <span class="nbdag-muted">{duration}</span>
            </button>
          )
        })}
      </div>
      {attempt ? (
        <OneAttempt
          key={`${index} ${attempt.state}`}
          store={store}
          run={run}
          task={task}
          attempt={attempt}
          reason={reason}
        />
      ) : null}
    </details>
  )
}

function name({ map_index, try_number }: Attempt): string {
  if (map_index < 0) return `Try ${try_number}`
  return `[${map_index}]${try_number > 1 ? ` try ${try_number}` : ''}`
}

function OneAttempt({ store, run, task, attempt, reason }: Props & { attempt: Attempt }) {
  const { map_index, try_number, state } = attempt
  const answer = useAnswer(
    store,
    'attempt',
    (message) =>
      message.run === run &&
      message.task === task &&
      message.map_index === map_index &&
      message.try_number === try_number,
    () => store.transport.send({ kind: 'attempt', run, task, map_index, try_number }),
    `${run}\n${task}\n${map_index}\n${try_number}\n${state}`,
  )
  return (
    <div class="nbdag-try">
      {attempt.started === null ? null : (
        <div class="nbdag-muted">
          started <Time at={attempt.started} />
          {attempt.host ? ` on ${attempt.host}` : ''}
        </div>
      )}
      {attempt.error && attempt.error !== reason ? (
        <p class={`nbdag-reason nbdag-is-${state}`}>{attempt.error}</p>
      ) : null}
      {attempt.notes.map((note) => (
        <p key={note} class="nbdag-reason nbdag-is-stale">
          {note}
        </p>
      ))}
      {answer?.outputs.length ? <Outputs outputs={answer.outputs} label={`${task}, try ${try_number}`} /> : null}
      {answer && !answer.outputs.length ? <div class="nbdag-muted">No output.</div> : null}
      {answer?.rendered.map(([what, text]) => (
        <details key={what}>
          <summary>Rendered: {what}</summary>
          <Clip>
            <pre class="nbdag-text">{text}</pre>
          </Clip>
        </details>
      ))}
      {answer?.log ? (
        <details>
          <summary>Log</summary>
          <LogEnd log={answer.log} />
        </details>
      ) : null}
    </div>
  )
}

/** The end of a log, and a button that shows more. */
function LogEnd({ log }: { log: string }) {
  const [all, setAll] = useState(false)
  const lines = log.replace(/\n$/, '').split('\n')
  const hidden = all ? 0 : Math.max(0, lines.length - MAX_LINES)
  return (
    <>
      {hidden > 0 ? (
        <button type="button" class="nbdag-link" onClick={() => setAll(true)}>
          Show the {plural(hidden, 'line')} before
        </button>
      ) : null}
      <pre class="nbdag-text">{lines.slice(hidden).join('\n')}</pre>
    </>
  )
}
