// The panel with the details of one task.
import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { TaskDetails } from '../../messages'
import { seconds } from '../format'
import { Sign, stateStyle } from '../Sign'
import { useAnswer, useStatus } from '../state/hooks'
import { LIVE, type Store } from '../state/store'
import type { Host } from '../state/transport'
import type { Act } from '../state/useActions'
import { Waiting } from '../Waiting'
import { Attempts } from './Attempts'
import { Dependencies } from './Dependencies'
import { Durations } from './Durations'
import { SourceCode } from './SourceCode'
import { TaskActions } from './TaskActions'
import { Values } from './Values'

interface Props {
  store: Store
  host: Host
  run: string
  task: string
  act: Act
  onSelect: (task: string) => void
  onClose: () => void
  more?: ComponentChildren // more content for the panel's head, such as a link to the page of the task
}

export function TaskPanel({ store, host, run, task, act, onSelect, onClose, more }: Props) {
  const status = useStatus(store, run, [task])
  const details = useDetails(store, run, task, `${status.state}\n${status.tries ?? ''}\n${status.ended ?? ''}`)
  const heading = [stateStyle(status.state).word]
  if (status.duration !== undefined) heading.push(seconds(status.duration))
  return (
    <section class="nbdag-panel" aria-label={`Task ${task}`}>
      <header>
        <Sign state={status.state} />
        <h3>{task}</h3>
        <span class="nbdag-muted">{heading.join(' · ')}</span>
        {more}
        <button type="button" class="nbdag-close" aria-label="Close" title="Close (Esc)" onClick={onClose}>
          ×
        </button>
      </header>
      {status.reason ? <p class={`nbdag-reason nbdag-is-${status.state}`}>{status.reason}</p> : null}
      {details?.doc ? <p class="nbdag-doc">{details.doc}</p> : null}
      <TaskActions
        store={store}
        run={run}
        task={task}
        act={act}
        state={status.state}
        attempted={Boolean(details?.attempts.length)}
        changed={details?.changed ?? false}
      />
      {details ? (
        <>
          {run !== LIVE ? (
            <Attempts store={store} run={run} task={task} attempts={details.attempts} reason={status.reason} />
          ) : null}
          <Values store={store} run={run} title="Inputs" values={details.inputs} onSelect={onSelect} />
          <Values store={store} run={run} title="Outputs" values={details.outputs} />
          <Dependencies title="Upstream" neighbours={details.upstream} host={host} onSelect={onSelect} />
          <Dependencies title="Downstream" neighbours={details.downstream} host={host} onSelect={onSelect} />
          <Options options={details.options} />
          <SourceCode details={details} host={host} />
          <Durations durations={details.durations} />
        </>
      ) : (
        <Waiting store={store} />
      )}
    </section>
  )
}

/**
 * Request the details whenever the status changes. Return the previous details until the new details arrive.
 */
function useDetails(store: Store, run: string, task: string, status: string): TaskDetails | undefined {
  const answer = useAnswer(
    store,
    'task',
    (message) => message.task === task && message.run === run,
    () => store.transport.send({ kind: 'task', task, run }),
    `${run}\n${task}\n${status}`,
  )
  const [latest, setLatest] = useState<TaskDetails>()
  useEffect(() => {
    if (answer) setLatest(answer)
  }, [answer])
  return latest?.task === task && latest.run === run ? latest : undefined
}

function Options({ options }: { options: TaskDetails['options'] }) {
  if (!options.length) return null
  return (
    <details open>
      <summary>Options</summary>
      <dl>
        {options.map(([option, value]) => (
          <div key={option}>
            <dt>{option}</dt>
            <dd>{value || 'yes'}</dd>
          </div>
        ))}
      </dl>
    </details>
  )
}
