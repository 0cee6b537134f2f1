// The input or output values of a task, with previews of stored values.
import { useState } from 'preact/hooks'
import type { Value } from '../../messages'
import { bytes } from '../format'
import { useAnswer, useConnection } from '../state/hooks'
import { LIVE, type Store } from '../state/store'
import { Outputs } from './Outputs'

interface Props {
  store: Store
  run: string
  title: string
  values: readonly Value[]
  onSelect?: (task: string) => void // called with the id of the task that wrote a value, to show that task
}

export function Values({ store, run, title, values, onSelect }: Props) {
  if (!values.length) return null
  return (
    <details open>
      <summary>
        {title} <span class="nbdag-muted">{values.length}</span>
      </summary>
      <ul class="nbdag-values">
        {values.map((value) => (
          <OneValue key={value.name} store={store} run={run} value={value} onSelect={onSelect} />
        ))}
      </ul>
    </details>
  )
}

interface OneValueProps {
  store: Store
  run: string
  value: Value
  onSelect: ((task: string) => void) | undefined
}

function OneValue({ store, run, value, onSelect }: OneValueProps) {
  const [open, setOpen] = useState(false)
  const connection = useConnection(store)
  return (
    <li>
      <code>{value.name}</code> <span class="nbdag-muted">{value.type}</span>
      {value.bytes === null ? null : <span class="nbdag-muted">, {bytes(value.bytes)}</span>}
      {onSelect && value.task ? (
        <>
          {' from '}
          <button type="button" class="nbdag-link" onClick={() => onSelect(value.task)}>
            {value.task}
          </button>
        </>
      ) : null}
      {value.stored && run !== LIVE && value.task ? (
        <button
          type="button"
          class="nbdag-link nbdag-push-right"
          aria-expanded={open}
          disabled={!open && !connection.open}
          onClick={() => setOpen(!open)}
        >
          {open ? 'hide' : 'preview'}
        </button>
      ) : null}
      {open ? (
        <Preview store={store} run={run} value={value} />
      ) : value.summary ? (
        <div class="nbdag-summary">{value.summary}</div>
      ) : null}
    </li>
  )
}

function Preview({ store, run, value }: { store: Store; run: string; value: Value }) {
  const { task, name } = value
  const answer = useAnswer(
    store,
    'value',
    (message) => message.run === run && message.task === task && message.name === name,
    () => store.transport.send({ kind: 'value', run, task, name }),
    `${run}\n${task}\n${name}`,
  )
  if (!answer) return <div class="nbdag-muted">Loading…</div>
  return <Outputs outputs={answer.outputs} label={`Value of ${name}`} />
}
