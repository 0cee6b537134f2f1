// The field of one option, and groups of such fields. The table of options declares them.
import type { ComponentChildren } from 'preact'
import { plural } from '../components/format'
import type { HeaderProblem, OptionInfo } from '../messages'
import { ListField, SelectField, TasksField, TextField } from './fields'

interface OptionFieldProps {
  option: OptionInfo
  value: string[] | undefined // undefined: the header does not give the option
  problems: HeaderProblem[]
  tasks: string[]
  onChange: (value: string[] | undefined) => void
}

export function OptionField({ option, value, problems, tasks, onChange }: OptionFieldProps) {
  const { flag, help, metavar, default: standard, flag_only, many, choices, suggestions } = option
  const label = flag.replaceAll('-', ' ')
  const common = { label, help: `--${flag} ${metavar}: ${help}`, problems }
  if (flag_only) {
    return (
      <label class="nbdag-field nbdag-check" title={common.help}>
        <input
          type="checkbox"
          checked={value !== undefined && value[0] !== 'no'}
          onChange={(event) => onChange(event.currentTarget.checked ? [] : undefined)}
        />
        {label}
        {value?.[0] === 'no' ? <span class="nbdag-muted"> (turned off here)</span> : null}
        {problems.map(({ message }) => (
          <span key={message} class="nbdag-field-problem" role="alert">
            {message}
          </span>
        ))}
      </label>
    )
  }
  if (choices.length && !many) {
    return (
      <SelectField
        {...common}
        value={value?.[0] ?? ''}
        choices={choices}
        standard={standard}
        onChange={(each) => onChange(each ? [each] : undefined)}
      />
    )
  }
  if (option.tasks) return <TasksField {...common} value={value ?? []} tasks={tasks} onChange={onChange} />
  if (many) return <ListField {...common} value={value ?? []} placeholder={metavar} onChange={onChange} />
  return (
    <TextField
      {...common}
      value={value?.[0] ?? ''}
      placeholder={standard || metavar}
      suggestions={suggestions}
      onChange={(each) => onChange(each ? [each] : undefined)}
    />
  )
}

interface MoreProps {
  options: readonly OptionInfo[]
  given: Readonly<Record<string, string[]>>
  field: (option: OptionInfo) => ComponentChildren
}

/** Options that are needed less often, in groups. A group is folded unless the header sets one of its options. */
export function MoreFields({ options, given, field }: MoreProps) {
  const count = options.filter(({ flag }) => given[flag]).length
  return (
    <details class="nbdag-more" open={count > 0}>
      <summary>More options{count ? `, ${plural(count, 'given option')}` : ` (${options.length})`}</summary>
      {grouped(options).map(([group, members]) => (
        <fieldset key={group}>
          <legend>{group}</legend>
          {members.map(field)}
        </fieldset>
      ))}
    </details>
  )
}

function grouped(options: readonly OptionInfo[]): [string, OptionInfo[]][] {
  const groups = new Map<string, OptionInfo[]>()
  for (const each of options) groups.set(each.group, [...(groups.get(each.group) ?? []), each])
  return [...groups]
}
