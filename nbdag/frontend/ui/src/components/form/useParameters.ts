// The state of a form for parameters: entries, errors, and the values that differ from the defaults.
import { useCallback, useMemo, useState } from 'preact/hooks'
import { type Entry, FieldError, fieldsOf, firstEntry, isChanged, readEntry, type Schema } from './fields'

export function useParameters(schema: Schema | undefined) {
  const fields = useMemo(() => (schema ? fieldsOf(schema) : []), [schema])
  const [changed, setChanged] = useState<Record<string, Entry>>({})
  const [errors, setErrors] = useState<Record<string, string>>({})
  const entries = useMemo(
    () => Object.fromEntries(fields.map((field) => [field.name, changed[field.name] ?? firstEntry(field)])),
    [fields, changed],
  )
  const without = (name: string) => (before: Record<string, string>) => {
    const { [name]: _, ...rest } = before
    return rest
  }
  const enter = useCallback((name: string, entry: Entry) => {
    setChanged((before) => ({ ...before, [name]: entry }))
    setErrors(without(name))
  }, [])
  const reset = useCallback((name: string) => {
    setChanged(({ [name]: _, ...rest }) => rest)
    setErrors(without(name))
  }, [])

  /** Return the values that differ from their defaults. If a value is wrong, show the error and return undefined. */
  function values(): Record<string, unknown> | undefined {
    const found: Record<string, unknown> = {}
    const wrong: Record<string, string> = {}
    for (const field of fields) {
      const entry = entries[field.name]
      if (!entry || !isChanged(field, entry)) continue
      try {
        found[field.name] = readEntry(field, entry)
      } catch (error) {
        if (!(error instanceof FieldError)) throw error
        wrong[field.name] = error.message
      }
    }
    setErrors(wrong)
    return Object.keys(wrong).length ? undefined : found
  }

  /** Show an error of the server beside the field that the error names. Return whether it names a field. */
  function place(error: unknown): boolean {
    if (!(error instanceof Error)) return false
    const [, name = '', rest = ''] = /^parameter (\w+) (.*)$/s.exec(error.message) ?? []
    if (!(name in entries)) return false
    setErrors({ [name]: rest.replace(/^is .*?, but /s, '') })
    return true
  }

  return { fields, entries, errors, enter, reset, values, place }
}
