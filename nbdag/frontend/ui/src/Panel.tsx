// All of one task.
import { useEffect, useState } from 'preact/hooks'
import { bytes, moment, seconds, several } from './format'
import { useAnswer, useStanding } from './hooks'
import type { Act, Neighbour, Past, TellTask, Try, Value } from './messages'
import { Outputs } from './Outputs'
import { look, Sign } from './Sign'
import { LIVE, type Store } from './store'
import type { Host } from './transport'

interface Props {
  store: Store
  host: Host
  run: string
  task: string
  act: (what: Act['what'], task: string) => void
  onChoose: (task: string) => void
  onClose: () => void
}

export function Panel({ store, host, run, task, act, onChoose, onClose }: Props) {
  const members = [task]
  const standing = useStanding(store, run, members)
  const detail = useAnswer(
    store,
    'task',
    (told) => told.task === task && told.run === run,
    () => store.transport.send({ kind: 'task', task, run }),
    `${run}\n${task}\n${standing.state}\n${standing.tries ?? ''}\n${standing.ended ?? ''}`,
  )
  const [shown, setShown] = useState<TellTask>()
  useEffect(() => {
    if (detail) setShown(detail)
  }, [detail])
  const told = shown?.task === task && shown.run === run ? shown : undefined
  const heading = [look(standing.state).word]
  if (standing.duration !== undefined) heading.push(seconds(standing.duration))
  return (
    <section class="nbdag-panel" aria-label={`Task ${task}`}>
      <header>
        <Sign state={standing.state} />
        <h3>{task}</h3>
        <span class="nbdag-soft">{heading.join(' · ')}</span>
        <button type="button" class="nbdag-close" aria-label="Close" title="Close (Esc)" onClick={onClose}>
          ×
        </button>
      </header>
      {standing.reason ? <p class={`nbdag-reason nbdag-is-${standing.state}`}>{standing.reason}</p> : null}
      {told?.doc ? <p class="nbdag-doc">{told.doc}</p> : null}
      <Actions store={store} run={run} task={task} act={act} state={standing.state} told={told} />
      {told ? (
        <>
          {run !== LIVE ? (
            <Tries store={store} run={run} task={task} tries={told.tries} said={standing.reason} />
          ) : null}
          <Values store={store} run={run} title="Inputs" values={told.inputs} onChoose={onChoose} />
          <Values store={store} run={run} title="Outputs" values={told.outputs} onChoose={onChoose} />
          <Reasons title="Follows" all={told.before} host={host} onChoose={onChoose} />
          <Reasons title="Comes before" all={told.after} host={host} onChoose={onChoose} />
          {told.options.length ? (
            <details open>
              <summary>Options</summary>
              <dl>
                {told.options.map(([flag, value]) => (
                  <div key={flag}>
                    <dt>{flag}</dt>
                    <dd>{value || 'yes'}</dd>
                  </div>
                ))}
              </dl>
            </details>
          ) : null}
          <Source told={told} host={host} />
          <Durations past={told.past} />
        </>
      ) : (
        <p class="nbdag-soft" role="status">
          Asking the kernel; it answers between two cells.
        </p>
      )}
    </section>
  )
}

function Actions({
  store,
  run,
  task,
  act,
  state,
  told,
}: Pick<Props, 'store' | 'run' | 'task' | 'act'> & { state: string; told: TellTask | undefined }) {
  type Offer = [Act['what'], string, string]
  const again: Offer[] = [] // with the run that is shown
  if (run !== LIVE && state !== 'none') {
    again.push(
      [
        'retry',
        'Clear and retry',
        'This task and all after it, again, in this run and with the notebook as it was then',
      ],
      ['retry_only', 'Clear this alone', 'This task, again, in this run; what comes after it stays as it is'],
    )
    if (told?.tries.length)
      again.push(['load', 'Load into kernel', 'What the task was given and left, as variables here'])
  }
  const anew: Offer[] = [
    ['only', 'Run this', 'A new run of this task alone, with the latest run’s values'],
    ['upto', 'Run up to here', 'A new run of this task and all before it'],
    ['from', 'Run from here', 'A new run of this task and all after it, with the latest run’s values'],
  ]
  const first = state === 'failed' || state === 'upstream_failed' ? 'retry' : undefined
  const rows = [again, anew].map((row) => row.filter(([what]) => store.can.has(what))).filter((row) => row.length)
  return (
    <>
      {rows.map((row) => (
        <div class="nbdag-actions" key={row[0]?.[0]}>
          {row.map(([what, label, title]) => (
            <button
              type="button"
              key={what}
              class={what === first ? 'nbdag-primary' : undefined}
              title={title}
              onClick={() => act(what, task)}
            >
              {label}
            </button>
          ))}
        </div>
      ))}
    </>
  )
}

function Values({
  store,
  run,
  title,
  values,
  onChoose,
}: {
  store: Store
  run: string
  title: string
  values: readonly Value[]
  onChoose: (task: string) => void
}) {
  if (!values.length) return null
  return (
    <details open>
      <summary>
        {title} <span class="nbdag-soft">{values.length}</span>
      </summary>
      <ul class="nbdag-values">
        {values.map((value) => (
          <OneValue
            key={value.name}
            store={store}
            run={run}
            value={value}
            onChoose={onChoose}
            of={title === 'Inputs'}
          />
        ))}
      </ul>
    </details>
  )
}

function OneValue({
  store,
  run,
  value,
  onChoose,
  of,
}: {
  store: Store
  run: string
  value: Value
  onChoose: (task: string) => void
  of: boolean
}) {
  const [open, setOpen] = useState(false)
  return (
    <li>
      <code>{value.name}</code> <span class="nbdag-soft">{value.type}</span>
      {value.bytes === null ? null : <span class="nbdag-soft">, {bytes(value.bytes)}</span>}
      {of && value.task ? (
        <>
          {' from '}
          <button type="button" class="nbdag-link" onClick={() => onChoose(value.task)}>
            {value.task}
          </button>
        </>
      ) : null}
      {value.stored && run !== LIVE && value.task ? (
        <button type="button" class="nbdag-link nbdag-apart" aria-expanded={open} onClick={() => setOpen(!open)}>
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
  const told = useAnswer(
    store,
    'value',
    (each) => each.run === run && each.task === task && each.name === name,
    () => store.transport.send({ kind: 'value', run, task, name }),
    `${run}\n${task}\n${name}`,
  )
  return told ? <Outputs outputs={told.outputs} what={`Value of ${name}`} /> : <div class="nbdag-soft">Loading it…</div>
}

function Reasons({
  title,
  all,
  host,
  onChoose,
}: {
  title: string
  all: readonly Neighbour[]
  host: Host
  onChoose: (task: string) => void
}) {
  if (!all.length) return null
  return (
    <details open>
      <summary>
        {title} <span class="nbdag-soft">{all.length}</span>
      </summary>
      <ul class="nbdag-reasons">
        {all.map((each) => (
          <li key={each.task}>
            <button type="button" class="nbdag-link" onClick={() => onChoose(each.task)}>
              {each.task}
            </button>
            {each.declared ? <span class="nbdag-soft"> declared</span> : null}
            {each.uses.map((use) => (
              <div key={`${use.name} ${use.read_cell} ${use.read_line}`}>
                <code>{use.name}</code>, written in <Jump host={host} cell={use.written_cell} line={use.written_line} />
                , read in <Jump host={host} cell={use.read_cell} line={use.read_line} />
              </div>
            ))}
          </li>
        ))}
      </ul>
    </details>
  )
}

function Jump({ host, cell, line }: { host: Host; cell: number; line: number }) {
  const text = `cell ${cell + 1}, line ${line}`
  const { jump } = host
  if (!jump) return <>{text}</>
  return (
    <button type="button" class="nbdag-link" title="Show it in the notebook" onClick={() => jump(cell, line)}>
      {text}
    </button>
  )
}

function Source({ told, host }: { told: TellTask; host: Host }) {
  return (
    <details open>
      <summary>Source</summary>
      <div class="nbdag-where">
        <Jump host={host} cell={told.cell} line={1} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre class="nbdag-source" tabIndex={0}>
        {told.source.map((line, n) => (
          <span class="nbdag-codeline" key={n}>
            {line.map(([colour, text], at) => (
              <span key={at} class={colour ? `nbdag-c-${colour}` : undefined}>
                {text}
              </span>
            ))}
            {'\n'}
          </span>
        ))}
      </pre>
    </details>
  )
}

interface Attempts {
  store: Store
  run: string
  task: string
  said: string | undefined // of the task, above
}

function Tries({ store, run, task, tries, said }: Attempts & { tries: readonly Try[] }) {
  const [chosen, setChosen] = useState<number>()
  if (!tries.length) return null
  const failed = tries.findLastIndex((each) => each.state === 'failed')
  const at = chosen !== undefined && chosen < tries.length ? chosen : failed >= 0 ? failed : tries.length - 1
  const attempt = tries[at]
  return (
    <details open>
      <summary>
        Attempts <span class="nbdag-soft">{tries.length}</span>
      </summary>
      <div class="nbdag-tries" role="group" aria-label="Attempts">
        {tries.slice(-60).map((each) => {
          const n = tries.indexOf(each)
          const name =
            each.map_index < 0
              ? `Try ${each.number}`
              : `[${each.map_index}]${each.number > 1 ? ` try ${each.number}` : ''}`
          const took = each.started !== null && each.ended !== null ? seconds(each.ended - each.started) : ''
          return (
            <button type="button" key={n} aria-pressed={n === at} onClick={() => setChosen(n)}>
              <Sign state={each.state} word={look(each.state).word} /> {name} <span class="nbdag-soft">{took}</span>
            </button>
          )
        })}
      </div>
      {attempt ? (
        <OneTry key={`${at} ${attempt.state}`} store={store} run={run} task={task} attempt={attempt} said={said} />
      ) : null}
    </details>
  )
}

function OneTry({ store, run, task, attempt, said }: Attempts & { attempt: Try }) {
  const { map_index, number, state } = attempt
  const told = useAnswer(
    store,
    'try',
    (each) => each.run === run && each.task === task && each.map_index === map_index && each.number === number,
    () => store.transport.send({ kind: 'try', run, task, map_index, number }),
    `${run}\n${task}\n${map_index}\n${number}\n${state}`,
  )
  return (
    <div class="nbdag-try">
      {attempt.started === null ? null : <div class="nbdag-soft">began {moment(attempt.started)}</div>}
      {attempt.error && attempt.error !== said ? <p class="nbdag-reason nbdag-is-failed">{attempt.error}</p> : null}
      {attempt.notes.map((note) => (
        <p key={note} class="nbdag-reason nbdag-is-stale">
          {note}
        </p>
      ))}
      {told ? (
        <>
          {told.outputs.length ? (
            <Outputs outputs={told.outputs} what={`${task}, try ${number}`} />
          ) : (
            <div class="nbdag-soft">It put nothing out.</div>
          )}
          {told.log ? (
            <details>
              <summary>Log</summary>
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
              <pre class="nbdag-text" tabIndex={0}>
                {told.log}
              </pre>
            </details>
          ) : null}
        </>
      ) : null}
    </div>
  )
}

function Durations({ past }: { past: readonly Past[] }) {
  const known = past.filter((each) => each.duration !== null)
  if (known.length < 2) return null
  const longest = Math.max(...known.map((each) => each.duration ?? 0), 0.001)
  const [width, height] = [14, 44]
  const words = known.map((each) => seconds(each.duration ?? 0)).join(', ')
  return (
    <details open>
      <summary>Durations</summary>
      <svg
        class="nbdag-durations"
        role="img"
        aria-label={`Durations of the last ${several(known.length, 'run')}: ${words}`}
        width={known.length * width}
        height={height + 2}
      >
        {known.map((each, n) => {
          const tall = Math.max(2, ((each.duration ?? 0) / longest) * height)
          return (
            <rect
              key={each.run}
              x={n * width + 1}
              y={height - tall}
              width={width - 3}
              height={tall}
              rx="1.5"
              fill={look(each.state).colour}
            >
              <title>{`${each.run}: ${seconds(each.duration ?? 0)}, ${look(each.state).word}`}</title>
            </rect>
          )
        })}
      </svg>
      <span class="nbdag-soft"> up to {seconds(longest)}</span>
    </details>
  )
}
