// Fields for the parameters of a notebook, made from their JSON Schema.
import { useId } from 'preact/hooks'
import { type Entry, type Field, isChanged } from './fields'

interface Props {
  fields: readonly Field[]
  entries: Readonly<Record<string, Entry>>
  errors: Readonly<Record<string, string>>
  onEntry: (name: string, entry: Entry) => void
  onReset: (name: string) => void
}

export function ParameterFields({ fields, entries, errors, onEntry, onReset }: Props) {
  return (
    <div class="nbdag-params">
      {fields.map((field) => {
        const entry = entries[field.name]
        if (!entry) return null
        return (
          <ParameterField
            key={field.name}
            field={field}
            entry={entry}
            error={errors[field.name]}
            onEntry={(next) => onEntry(field.name, next)}
            onReset={() => onReset(field.name)}
          />
        )
      })}
    </div>
  )
}

interface FieldProps {
  field: Field
  entry: Entry
  error: string | undefined
  onEntry: (entry: Entry) => void
  onReset: () => void
}

function ParameterField({ field, entry, error, onEntry, onReset }: FieldProps) {
  const id = useId()
  const { name, kind, nullable, doc, rules, type } = field
  const changed = isChanged(field, entry)
  const about = [rules, error].filter(Boolean).length > 0 || doc
  return (
    <div class={`nbdag-param${error ? ' nbdag-invalid' : ''}${changed ? ' nbdag-changed' : ''}`}>
      <div class="nbdag-param-name">
        <label for={id}>{name}</label>
        <span class="nbdag-muted">{type}</span>
        {changed ? (
          <button type="button" class="nbdag-link" onClick={onReset} aria-label={`Reset ${name} to its default`}>
            Reset
          </button>
        ) : null}
      </div>
      <div class="nbdag-param-input">
        {entry.isNull ? null : kind === 'several' ? (
          <Several id={id} field={field} entry={entry} onEntry={onEntry} />
        ) : (
          <Input id={id} field={field} entry={entry} invalid={Boolean(error)} about={`${id}-about`} onEntry={onEntry} />
        )}
        {nullable ? (
          <label class="nbdag-check">
            <input
              type="checkbox"
              id={entry.isNull ? id : undefined}
              checked={entry.isNull}
              onChange={(event) => onEntry({ ...entry, isNull: event.currentTarget.checked })}
            />
            None
          </label>
        ) : null}
      </div>
      {about ? (
        <p id={`${id}-about`} class="nbdag-param-about">
          {error ? <strong class="nbdag-param-error">{error}</strong> : null}
          {doc ? <span>{doc}</span> : null}
          {rules ? <span class="nbdag-muted">{rules}</span> : null}
        </p>
      ) : null}
    </div>
  )
}

interface InputProps {
  id: string
  field: Field
  entry: Entry
  invalid: boolean
  about: string
  onEntry: (entry: Entry) => void
}

function Input({ id, field, entry, invalid, about, onEntry }: InputProps) {
  const { schema, kind } = field
  const type = (text: string) => onEntry({ ...entry, text })
  const common = { id, 'aria-invalid': invalid, 'aria-describedby': about }
  switch (kind) {
    case 'flag':
      return (
        <label class="nbdag-check">
          <input
            {...common}
            type="checkbox"
            checked={entry.text === 'true'}
            onChange={(event) => type(String(event.currentTarget.checked))}
          />
          {entry.text === 'true' ? 'true' : 'false'}
        </label>
      )
    case 'choice':
      return (
        <select {...common} value={entry.text} onChange={(event) => type(event.currentTarget.value)}>
          {entry.text ? null : <option value="">choose…</option>}
          {(schema.enum ?? []).map((each) => (
            <option key={JSON.stringify(each)} value={JSON.stringify(each)}>
              {typeof each === 'string' ? each : JSON.stringify(each)}
            </option>
          ))}
        </select>
      )
    case 'long':
    case 'list':
    case 'json':
      return (
        <textarea
          {...common}
          class={kind === 'json' ? 'nbdag-code' : ''}
          rows={Math.min(8, Math.max(kind === 'json' ? 1 : 3, entry.text.split('\n').length))}
          placeholder={kind === 'list' ? 'one value on each line' : kind === 'json' ? 'JSON' : ''}
          spellcheck={false}
          value={entry.text}
          onInput={(event) => type(event.currentTarget.value)}
        />
      )
    default: {
      const examples = schema.examples?.map(String) ?? []
      return (
        <>
          <input
            {...common}
            type={(INPUT_TYPES[kind] ?? 'text') as 'text'}
            autocomplete={kind === 'secret' ? 'new-password' : 'off'}
            {...(examples.length ? { list: `${id}-examples` } : {})}
            {...(kind === 'number' || kind === 'whole' ? { inputMode: 'decimal' as const } : {})}
            {...(kind === 'secret' ? { placeholder: 'unchanged' } : {})}
            value={entry.text}
            onInput={(event) => type(event.currentTarget.value)}
          />
          {examples.length ? (
            <datalist id={`${id}-examples`}>
              {examples.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          ) : null}
        </>
      )
    }
  }
}

// Numbers are entered as text: a number input does not give its text to the page if the text is not a number.
const INPUT_TYPES: Partial<Record<Field['kind'], 'date' | 'datetime-local' | 'time' | 'password'>> = {
  date: 'date',
  'date-time': 'datetime-local',
  time: 'time',
  secret: 'password',
}

function Several({ id, field, entry, onEntry }: Pick<InputProps, 'id' | 'field' | 'entry' | 'onEntry'>) {
  const chosen = new Set<string>((JSON.parse(entry.text || '[]') as unknown[]).map((each) => JSON.stringify(each)))
  const options = (field.schema.items?.enum ?? []).map((each) => JSON.stringify(each))
  return (
    <div class="nbdag-several" id={id} role="group" aria-label={field.name}>
      {options.map((each) => (
        <label key={each} class="nbdag-check">
          <input
            type="checkbox"
            checked={chosen.has(each)}
            onChange={(event) => {
              if (event.currentTarget.checked) chosen.add(each)
              else chosen.delete(each)
              onEntry({ ...entry, text: `[${options.filter((one) => chosen.has(one)).join(',')}]` })
            }}
          />
          {each.replace(/^"|"$/g, '')}
        </label>
      ))}
    </div>
  )
}
