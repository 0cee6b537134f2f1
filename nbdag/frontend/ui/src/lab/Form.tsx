// The form of a cell: its role, and the options of its header. Every change is written into the header immediately; a
// value that the header's parser rejects stays in its field, and the reason is shown.
import type { Cell } from '@jupyterlab/notebook'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type {
  CellRole,
  FormatHeaderRequest,
  FormattedHeader,
  HeaderForm,
  HeaderProblem,
  OptionInfo,
  ParseHeaderRequest,
  Role,
} from '../messages'
import { api } from '../page/api'
import type { Book } from './book'
import { TextField } from './fields'
import { MoreFields, OptionField } from './OptionField'
import type { OptionHelp } from './options'

export const ROLES: Record<Role, { label: string; caption: string }> = {
  task: { label: 'Task', caption: 'A run executes the cell in a kernel of its own' },
  setup: { label: 'Setup', caption: 'Imports, helpers, connections: runs in the kernel of every task' },
  parameters: { label: 'Parameters', caption: 'The parameters of the pipeline and their defaults' },
  skip: { label: 'Skip', caption: 'Runs leave the cell out' },
  code: { label: 'No tag', caption: 'Above the first task the cell is setup, below it is not in runs' },
}
const FIRST = ['after', 'retries', 'timeout', 'trigger', 'check', 'map', 'pool', 'cache'] // shown at first

interface Props {
  book: Book
  cell: Cell
  options: OptionHelp
  focusName: number // changes when the name should get the focus
  onError: (error: Error) => void
}

export function CellForm({ book, cell, options, focusName, onError }: Props) {
  const info = book.info(cell)
  const source = cell.model.sharedModel.getSource()
  const [form, setForm] = useState<HeaderForm>()
  const [problems, setProblems] = useState<HeaderProblem[]>([])
  const tags = cell.model.getMetadata('tags')
  const parsed = useRef('')

  useEffect(() => {
    if (parsed.current === source) return
    parsed.current = source
    const body: ParseHeaderRequest = { source }
    api.post<HeaderForm>('headers/parse', body).then((found) => {
      if (parsed.current !== source) return
      setForm(found)
      setProblems(found.problems)
    }, onError)
  }, [source, onError])

  const name = useRef<HTMLInputElement>(null)
  const wanted = useRef(focusName)
  useEffect(() => {
    if (wanted.current === focusName || !name.current) return
    wanted.current = focusName
    name.current.focus()
    name.current.select()
  })

  const write = useCallback(
    async (change: Partial<Pick<HeaderForm, 'name' | 'values'>>) => {
      if (!form) return
      const next = { ...form, ...change }
      setForm(next)
      const body: FormatHeaderRequest = {
        source: cell.model.sharedModel.getSource(),
        tags: Array.isArray(tags) ? tags : [],
        kind: form.kind,
        name: next.name,
        values: next.values,
      }
      try {
        const { edit, problems: found } = await api.post<FormattedHeader>('headers/format', body)
        setProblems(found)
        if (!edit) return
        book.apply(cell, edit, body.source)
        parsed.current = cell.model.sharedModel.getSource()
      } catch (error) {
        onError(error as Error)
      }
    },
    [book, cell, form, tags, onError],
  )

  if (cell.model.type !== 'code') return <p class="nbdag-muted">Only code cells can be tasks.</p>
  const role = roleOf(info?.role, form?.kind ?? '', Array.isArray(tags) ? tags : [])
  const others = book.analysis?.cells.flatMap(({ task }) => (task && task !== form?.name ? task : [])) ?? []
  const { table } = options
  const isTask = role === 'task' && form?.kind === 'task'
  const operator = form?.values.operator?.[0] ?? 'python'
  const own = table?.operators.find(({ name: each }) => each === operator)?.options ?? []
  const of = (flag: string) => problems.filter((each) => each.flag === flag)
  const field = (option: OptionInfo) => (
    <OptionField
      key={option.flag}
      option={option}
      value={form?.values[option.flag]}
      problems={of(option.flag)}
      tasks={[...others, ...(book.analysis?.groups ?? [])]}
      onChange={(value) => {
        const { [option.flag]: _, ...rest } = form?.values ?? {}
        void write({ values: value ? { ...rest, [option.flag]: value } : rest })
      }}
    />
  )
  const shown = new Set(['operator', 'doc', ...FIRST])
  const rest = table?.task.filter(({ flag }) => !shown.has(flag)) ?? []
  const optionOf = (flag: string) => table?.task.find((each) => each.flag === flag)
  const general = problems.filter(
    ({ flag }) => !flag || (flag !== 'name' && ![...(table?.task ?? []), ...own].some((each) => each.flag === flag)),
  )
  return (
    <form class="nbdag-form" onSubmit={(event) => event.preventDefault()}>
      <div class="nbdag-roles" role="radiogroup" aria-label="Role of the cell">
        {(Object.keys(ROLES) as Role[]).map((each) => (
          <button
            type="button"
            key={each}
            role="radio"
            aria-checked={role === each}
            title={ROLES[each].caption}
            onClick={() => book.tag(cell, each).catch(onError)}
          >
            {ROLES[each].label}
          </button>
        ))}
      </div>
      <p class="nbdag-muted nbdag-role-caption">{explain(role, info?.role, info?.ignored ?? false)}</p>
      {general.map(({ message }) => (
        <p key={message} class="nbdag-field-problem" role="alert">
          {message}
        </p>
      ))}
      {isTask && form ? (
        <>
          <TextField
            label="Name"
            value={form.name}
            problems={of('name')}
            help="letters, digits, _ . and -; a dot makes a group, as in eu.load"
            placeholder="name"
            field={name}
            onChange={(value) => write({ name: value })}
          />
          {[optionOf('operator'), ...own, optionOf('doc'), ...FIRST.map(optionOf)].map((each) =>
            each ? field(each) : null,
          )}
          <MoreFields options={rest} given={form.values} field={field} />
        </>
      ) : null}
    </form>
  )
}

/** Return the role that the cell's own header or tag gives it. */
export function roleOf(analysed: CellRole | undefined, kind: string, tags: readonly unknown[]): Role {
  if (kind === 'task' || kind === 'setup' || kind === 'skip') return kind
  if (kind === 'params' || tags.includes('parameters')) return 'parameters'
  if (tags.includes('skip-execution')) return 'skip'
  return kind === '' && analysed === 'task' ? 'task' : 'code'
}

function explain(role: Role, analysed: CellRole | undefined, ignored: boolean): string {
  if (role !== 'code') return ROLES[role].caption
  if (analysed === 'setup') return 'Setup by its place, above the first task: runs in the kernel of every task'
  if (analysed === 'control') return 'A cell with magics of nbdag alone, which runs do not need'
  if (analysed === 'builder') return 'This cell builds tasks'
  return ignored ? 'Not in runs: the cell is untagged, and below the first task' : ROLES.code.caption
}
