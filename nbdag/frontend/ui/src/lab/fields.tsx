// The fields of the form. A text is reported when it is finished: on Enter, or when the field loses the focus.
import type { ComponentChildren, RefObject } from 'preact'
import { useEffect, useId, useState } from 'preact/hooks'
import type { HeaderProblem } from '../messages'

interface Common {
  label: string
  help: string
  problems: readonly HeaderProblem[]
}

interface LabelledProps extends Common {
  children: (id: string, described: Record<string, string | boolean>) => ComponentChildren
}

function Labelled({ label, help, problems, children }: LabelledProps) {
  const id = useId()
  const wrong = problems.length > 0
  const described = wrong ? { 'aria-describedby': `${id}-problem`, 'aria-invalid': true } : {}
  return (
    <div class="nbdag-field" title={help}>
      <label for={id}>{label}</label>
      {children(id, described)}
      {wrong ? (
        <span id={`${id}-problem`} class="nbdag-field-problem" role="alert">
          {problems.map(({ message }) => message).join(' ')}
        </span>
      ) : null}
    </div>
  )
}

interface TextProps extends Common {
  value: string
  placeholder: string
  suggestions?: readonly string[]
  field?: RefObject<HTMLInputElement | null>
  onChange: (value: string) => void
}

export function TextField({ suggestions = [], label, help, problems, ...input }: TextProps) {
  return (
    <Labelled label={label} help={help} problems={problems}>
      {(id, described) => (
        <>
          <TextInput id={id} {...input} {...described} {...(suggestions.length ? { list: `${id}-list` } : {})} />
          {suggestions.length ? (
            <datalist id={`${id}-list`}>
              {suggestions.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          ) : null}
        </>
      )}
    </Labelled>
  )
}

interface InputProps {
  id?: string
  value: string
  placeholder: string
  field?: RefObject<HTMLInputElement | null> | undefined
  onChange: (value: string) => void
}

function TextInput({ value, onChange, field, ...more }: InputProps) {
  const [typed, setTyped] = useState(value)
  useEffect(() => setTyped(value), [value])
  const finish = () => typed !== value && onChange(typed.trim())
  return (
    <input
      {...more}
      ref={field ?? null}
      type="text"
      spellcheck={false}
      autocomplete="off"
      value={typed}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onBlur={finish}
      onKeyDown={(event) => {
        if (event.key === 'Enter') finish()
        if (event.key === 'Escape') setTyped(value)
      }}
    />
  )
}

interface SelectProps extends Common {
  value: string
  choices: readonly string[]
  standard: string
  onChange: (value: string) => void
}

export function SelectField({ value, choices, standard, onChange, ...common }: SelectProps) {
  return (
    <Labelled {...common}>
      {(id, described) => (
        <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)} {...described}>
          <option value="">{standard ? `default (${standard})` : 'default'}</option>
          {choices.map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
          {value && !choices.includes(value) ? <option value={value}>{value}</option> : null}
        </select>
      )}
    </Labelled>
  )
}

interface ListProps extends Common {
  value: readonly string[]
  placeholder: string
  onChange: (value: string[] | undefined) => void
}

/** Several values, each in a separate input; the empty input at the end adds a value. */
export function ListField({ value, placeholder, onChange, label, ...common }: ListProps) {
  const change = (at: number, text: string) => {
    const next = [...value.slice(0, at), text, ...value.slice(at + 1)].filter(Boolean)
    onChange(next.length ? next : undefined)
  }
  return (
    <Labelled label={label} {...common}>
      {(id, described) => (
        <div class="nbdag-list">
          {[...value, ''].map((each, at) => (
            <TextInput
              key={at}
              {...(at ? { 'aria-label': `${label} ${at + 1}` } : { id })}
              value={each}
              placeholder={at ? `another ${placeholder.replace('…', '')}` : placeholder}
              onChange={(text) => change(at, text)}
              {...described}
            />
          ))}
        </div>
      )}
    </Labelled>
  )
}

interface TasksProps extends Common {
  value: readonly string[]
  tasks: readonly string[]
  onChange: (value: string[] | undefined) => void
}

/** A list of tasks, from which the user selects by clicking. */
export function TasksField({ label, help, problems, value, tasks, onChange }: TasksProps) {
  const all = [...new Set([...tasks, ...value])]
  return (
    <fieldset class="nbdag-field nbdag-tasks" title={help}>
      <legend>{label}</legend>
      {all.length ? (
        all.map((task) => (
          <button
            type="button"
            key={task}
            aria-pressed={value.includes(task)}
            onClick={() => {
              const next = value.includes(task) ? value.filter((each) => each !== task) : [...value, task]
              onChange(next.length ? next : undefined)
            }}
          >
            {task}
          </button>
        ))
      ) : (
        <span class="nbdag-muted">no other tasks</span>
      )}
      {problems.map(({ message }) => (
        <span key={message} class="nbdag-field-problem" role="alert">
          {message}
        </span>
      ))}
    </fieldset>
  )
}
