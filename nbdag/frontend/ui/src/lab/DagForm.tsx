// The form of the pipeline: the name and the options of its %dag line, such as the schedule. The form changes the line
// in its cell. A notebook without such a line gets a new cell for it.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { FormatHeaderRequest, FormattedHeader, HeaderForm, HeaderProblem, OptionInfo } from '../messages'
import { api } from '../page/api'
import type { Book } from './book'
import { TextField } from './fields'
import { MoreFields, OptionField } from './OptionField'
import type { OptionHelp } from './options'

const FIRST = ['schedule', 'tz', 'start-date', 'catchup', 'description', 'owner', 'tags']

interface Props {
  book: Book
  options: OptionHelp
  onError: (error: Error) => void
}

export function DagForm({ book, options, onError }: Props) {
  const source = book.dagLine()?.text ?? ''
  const [form, setForm] = useState<HeaderForm>()
  const [problems, setProblems] = useState<HeaderProblem[]>([])
  const parsed = useRef<string | undefined>(undefined)
  useEffect(() => {
    if (parsed.current === source) return
    parsed.current = source
    api.post<HeaderForm>('headers/parse', { source }).then((found) => {
      if (parsed.current !== source) return
      setForm(found)
      setProblems(found.problems)
    }, onError)
  }, [source, onError])
  const { table } = options
  if (!form || !table) return null

  const write = async (change: Partial<Pick<HeaderForm, 'name' | 'values'>>) => {
    const next = { ...form, ...change }
    setForm(next)
    const line = book.dagLine()?.text ?? ''
    const body: FormatHeaderRequest = { source: line, tags: [], kind: 'dag', name: next.name, values: next.values }
    try {
      const { edit, problems: found } = await api.post<FormattedHeader>('headers/format', body)
      setProblems(found)
      if (!edit || !book.writeDagLine(edit.text.trimEnd(), line)) return
      parsed.current = edit.text.trimEnd()
    } catch (error) {
      onError(error as Error)
    }
  }
  const of = (flag: string) => problems.filter((each) => each.flag === flag)
  const field = (option: OptionInfo) => (
    <OptionField
      key={option.flag}
      option={option}
      value={form.values[option.flag]}
      problems={of(option.flag)}
      tasks={[]}
      onChange={(value) => {
        const { [option.flag]: _, ...rest } = form.values
        void write({ values: value ? { ...rest, [option.flag]: value } : rest })
      }}
    />
  )
  const known = new Set(table.dag.map(({ flag }) => flag))
  return (
    <form class="nbdag-form" onSubmit={(event) => event.preventDefault()}>
      {problems
        .filter(({ flag }) => flag !== 'name' && !known.has(flag))
        .map(({ message }) => (
          <p key={message} class="nbdag-field-problem" role="alert">
            {message}
          </p>
        ))}
      <TextField
        label="name"
        value={form.name}
        problems={of('name')}
        help="the id of the pipeline; without one, the name of the file"
        placeholder={book.analysis?.dag ?? ''}
        onChange={(name) => write({ name })}
      />
      {FIRST.map((flag) => table.dag.find((each) => each.flag === flag)).map((each) => (each ? field(each) : null))}
      <MoreFields options={table.dag.filter(({ flag }) => !FIRST.includes(flag))} given={form.values} field={field} />
    </form>
  )
}
