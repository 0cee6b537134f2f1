// A run beside another run of its pipeline: parameters, code, durations, values by digest, outputs.
import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { ListedRun, RunDetails, RunList } from '../../api'
import { bytes, plural, seconds } from '../../components/format'
import { Outputs } from '../../components/panel/Outputs'
import { Sign, stateStyle } from '../../components/Sign'
import type {
  AttemptMessage,
  ComparedTask,
  ComparedValue,
  ParameterDifference,
  RunComparison,
  RunSummary,
  StoredValue,
  TaskStatus,
} from '../../messages'
import { Dialog } from '../Dialog'
import { NotebookDiff } from '../diff/NotebookDiff'
import { navigate } from '../location'
import { Link } from '../router'
import { Empty, Loaded } from '../states'
import { ago, Time } from '../Time'
import { runAddress } from '../transport'
import { useResource } from '../useResource'
import { List } from './List'
import { runPlace, taskPlace } from './links'

const CHOICE = 100 // maximum number of runs that are offered for the comparison
const MIN_CHANGE = 0.2 // minimum difference of two durations to highlight, as a share of the longer one
const MIN_SECONDS = 1 // minimum difference of two durations to highlight, in seconds

export function Compare({ details, other }: { details: RunDetails; other: string | undefined }) {
  const { dag, id, created } = details.run
  const listed = useResource<RunList>(`runs?${new URLSearchParams({ dag, limit: String(CHOICE) })}`, NEVER)
  return (
    <Loaded of={listed}>
      {({ items }) => {
        const others = items.filter((each) => each.id !== id)
        const chosen = other ?? (others.find((each) => each.created < created) ?? others.at(-1))?.id
        if (!chosen)
          return (
            <Empty title="No other run">
              <p class="nbdag-muted">This is the only run of {dag} so far.</p>
            </Empty>
          )
        return (
          <div class="run-compare">
            <div class="run-bar">
              <label>
                Compare with{' '}
                <select
                  value={chosen}
                  onChange={(event) => navigate(runPlace(dag, id, 'compare', { other: event.currentTarget.value }))}
                >
                  {others.some((each) => each.id === chosen) ? null : <option value={chosen}>{chosen}</option>}
                  {others.map((each) => (
                    <option key={each.id} value={each.id}>
                      {optionText(each)}
                    </option>
                  ))}
                </select>
              </label>
              <Link class="pg-button" to={runPlace(dag, chosen, 'compare', { other: id })}>
                Swap
              </Link>
            </div>
            <Comparison key={chosen} dag={dag} run={id} other={chosen} />
          </div>
        )
      }}
    </Loaded>
  )
}

const NEVER = () => false

function optionText({ state, created, started, ended }: ListedRun): string {
  const took = started !== null && ended !== null ? `, ${seconds(ended - started)}` : ''
  return `${stateStyle(state).sign} ${ago(created, Date.now() / 1000)}${took}`
}

function Comparison({ dag, run, other }: { dag: string; run: string; other: string }) {
  const found = useResource<RunComparison>(
    runAddress(dag, run, `compare/${encodeURIComponent(other)}`),
    (change) => change.dag === dag && (change.run === run || change.run === other),
  )
  return (
    <Loaded of={found} lines={10}>
      {(comparison) => (
        <>
          <Overview dag={dag} comparison={comparison} />
          <Section title="Parameters">
            <Parameters parameters={comparison.parameters} />
          </Section>
          <Section title="Code">
            <NotebookDiff difference={comparison.notebook} />
          </Section>
          <Tasks dag={dag} comparison={comparison} />
        </>
      )}
    </Loaded>
  )
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="run-section" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  )
}

function Overview({ dag, comparison: { run, other } }: { dag: string; comparison: RunComparison }) {
  const side = (summary: RunSummary, label: string) => (
    <div class="run-side">
      <span class="nbdag-muted">{label}</span>
      <Link to={runPlace(dag, summary.id)}>
        <Time at={summary.created} exact />
      </Link>
      <span>
        <Sign state={summary.state} /> {stateStyle(summary.state).word}
      </span>
      <b>{took(summary)}</b>
    </div>
  )
  return (
    <div class="run-sides">
      {side(other, 'Other run')}
      <span class="run-arrow" aria-hidden="true" />
      {side(run, 'This run')}
      <Change before={lengthOf(other)} after={lengthOf(run)} />
    </div>
  )
}

function lengthOf({ started, ended }: RunSummary): number | undefined {
  return started !== null && ended !== null ? ended - started : undefined
}

function took(summary: RunSummary): string {
  const length = lengthOf(summary)
  return length === undefined ? '' : seconds(length)
}

/** Show the difference of two durations in words, and in colour if it is large. */
function Change({ before, after }: { before: number | undefined; after: number | undefined }) {
  if (before === undefined || after === undefined) return null
  const difference = after - before
  if (seconds(before) === seconds(after)) return <span class="nbdag-muted">as long</span>
  const share =
    before > 0.05 ? ` (${difference > 0 ? '+' : '−'}${Math.round((Math.abs(difference) / before) * 100)} %)` : ''
  const kind = matters(before, after) ? (difference > 0 ? 'run-slower' : 'run-faster') : 'nbdag-muted'
  return (
    <span class={kind}>
      {seconds(Math.abs(difference))} {difference > 0 ? 'slower' : 'faster'}
      {share}
    </span>
  )
}

function matters(before: number, after: number): boolean {
  const difference = Math.abs(after - before)
  return difference >= MIN_SECONDS && difference >= MIN_CHANGE * Math.max(before, after)
}

function Parameters({ parameters }: { parameters: readonly ParameterDifference[] }) {
  if (!parameters.length) return <p class="nbdag-muted">Both runs use the defaults.</p>
  const text = (set: boolean, value: unknown) =>
    set ? <code>{JSON.stringify(value)}</code> : <span class="nbdag-muted">default</span>
  return (
    <table class="run-table">
      <thead>
        <tr>
          <th scope="col">Parameter</th>
          <th scope="col">Other run</th>
          <th scope="col">This run</th>
        </tr>
      </thead>
      <tbody>
        {parameters.map((each) => (
          <tr key={each.name} class={each.same ? '' : 'run-differs'}>
            <th scope="row">{each.name}</th>
            <td>{text(each.other_set, each.other)}</td>
            <td>{text(each.set, each.run)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

const COLUMNS = [
  { name: 'Task', class: 'run-what' },
  { name: 'Other run' },
  { name: 'This run' },
  { name: 'Duration' },
  { name: 'Code' },
  { name: 'Values', class: 'run-why' },
  { name: '', class: 'run-act' },
]

function Tasks({ dag, comparison }: { dag: string; comparison: RunComparison }) {
  const { tasks, notebook } = comparison
  const changes = useMemo(() => new Map(notebook.tasks.map((each) => [each.task, each])), [notebook])
  const [all, setAll] = useState(tasks.length <= 12)
  const [opened, setOpened] = useState<ComparedTask>()
  const differs = (each: ComparedTask) =>
    each.run?.state !== each.other?.state ||
    changes.has(each.task) ||
    each.values.some(({ same }) => !same) ||
    (each.run?.duration !== undefined &&
      each.other?.duration !== undefined &&
      matters(each.other.duration, each.run.duration))
  const different = useMemo(() => tasks.filter(differs), [tasks, changes])
  const shown = all ? tasks : different
  return (
    <section class="run-section" aria-label="Tasks">
      <div class="run-compare-head">
        <h2>Tasks</h2>
        <span class="nbdag-muted" role="status">
          {different.length ? `${different.length} of ${plural(tasks.length, 'task')} differ` : 'no task differs'}
        </span>
        <label>
          <input type="checkbox" checked={!all} onChange={(event) => setAll(!event.currentTarget.checked)} /> Only
          differences
        </label>
      </div>
      {shown.length ? (
        <List label="Tasks in both runs" columns={COLUMNS} rows={shown} height={32} keyOf={({ task }) => task}>
          {(each) => {
            const change = changes.get(each.task)
            const other = each.values.filter(({ same }) => !same)
            return (
              <>
                <td class="run-what">{each.task}</td>
                <td>
                  <Status status={each.other} />
                </td>
                <td>
                  <Status status={each.run} />
                </td>
                <td>
                  <Change before={each.other?.duration} after={each.run?.duration} />
                </td>
                <td>
                  {change ? (
                    <span class="run-changed">
                      {change.kind === 'changed' ? change.changed.join(', ') : change.kind}
                    </span>
                  ) : (
                    <span class="nbdag-muted">same</span>
                  )}
                </td>
                <td class="run-why">
                  {other.length ? (
                    <span class="run-changed">changed: {other.map(({ name }) => name).join(', ')}</span>
                  ) : (
                    <span class="nbdag-muted">{each.values.length ? 'same' : 'none'}</span>
                  )}
                </td>
                <td class="run-act">
                  <button type="button" class="nbdag-link" onClick={() => setOpened(each)}>
                    Side by side<span class="nbdag-screen-reader"> {each.task}</span>
                  </button>
                </td>
              </>
            )
          }}
        </List>
      ) : null}
      {opened ? (
        <Dialog title={`${opened.task} in both runs`} wide onClose={() => setOpened(undefined)}>
          <BothSides dag={dag} comparison={comparison} task={opened} />
        </Dialog>
      ) : null}
    </section>
  )
}

function Status({ status }: { status: TaskStatus | null }) {
  if (!status) return <span class="nbdag-muted">not in this run</span>
  return (
    <>
      <Sign state={status.state} /> {stateStyle(status.state).word}
      {status.duration === undefined ? '' : `, ${seconds(status.duration)}`}
    </>
  )
}

interface BothProps {
  dag: string
  comparison: RunComparison
  task: ComparedTask
}

function BothSides({ dag, comparison: { run, other }, task }: BothProps) {
  return (
    <div class="run-both">
      {task.values.length ? (
        <table class="run-table">
          <thead>
            <tr>
              <th scope="col">Value</th>
              <th scope="col">Other run</th>
              <th scope="col">This run</th>
            </tr>
          </thead>
          <tbody>
            {task.values.map((each) => (
              <ValueRow key={each.name} value={each} />
            ))}
          </tbody>
        </table>
      ) : null}
      <div class="run-columns">
        <OneSide dag={dag} run={other.id} task={task.task} status={task.other} label="Other run" />
        <OneSide dag={dag} run={run.id} task={task.task} status={task.run} label="This run" />
      </div>
    </div>
  )
}

function ValueRow({ value: { name, run, other, same } }: { value: ComparedValue }) {
  const side = (value: StoredValue | null) =>
    value ? (
      <>
        <span class="nbdag-muted">
          {value.type}, {bytes(value.bytes)}
        </span>
        <div class="nbdag-summary">{value.summary}</div>
      </>
    ) : (
      <span class="nbdag-muted">not stored</span>
    )
  return (
    <tr class={same ? '' : 'run-differs'}>
      <th scope="row">
        <code>{name}</code>
        <div class="nbdag-muted">{same ? 'same bytes' : 'differs'}</div>
      </th>
      <td>{side(other)}</td>
      <td>{side(run)}</td>
    </tr>
  )
}

interface SideProps {
  dag: string
  run: string
  task: string
  status: TaskStatus | null
  label: string
}

function OneSide({ dag, run, task, status, label }: SideProps) {
  const mapped = status?.count !== undefined
  const attempted = status?.started !== undefined && !mapped
  const address = `tasks/${encodeURIComponent(task)}/attempts/-1/${status?.tries ?? 1}`
  const found = useResource<AttemptMessage>(attempted ? runAddress(dag, run, address) : undefined, NEVER)
  return (
    <section aria-label={`${label}: ${task}`}>
      <h3>{label}</h3>
      <p class="nbdag-muted">
        <Status status={status} /> {status ? <Link to={taskPlace(dag, run, task)}>Open</Link> : null}
      </p>
      {status?.reason ? <p class={`nbdag-reason nbdag-is-${status.state}`}>{status.reason}</p> : null}
      {attempted ? (
        <Loaded of={found} lines={3}>
          {({ outputs }) =>
            outputs.length ? (
              <Outputs outputs={outputs} label={`${label}: ${task}`} />
            ) : (
              <p class="nbdag-muted">No output.</p>
            )
          }
        </Loaded>
      ) : (
        <p class="nbdag-muted">{mapped ? 'Open the task to see the outputs of its instances.' : 'No attempt.'}</p>
      )}
    </section>
  )
}
