// From JSON Schema to the fields of a form, and from the texts in the fields back to JSON.
export interface Schema {
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  oneOf?: Schema[]
  items?: Schema
  properties?: Record<string, Schema>
  default?: unknown
  description?: string
  title?: string
  format?: string
  pattern?: string
  examples?: unknown[]
  writeOnly?: boolean
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  multipleOf?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  uniqueItems?: boolean
  'x-annotation'?: string
  'x-python'?: string
}

export type FieldKind =
  | 'flag'
  | 'choice'
  | 'several' // any of a few values
  | 'whole'
  | 'number'
  | 'date'
  | 'date-time'
  | 'time'
  | 'text'
  | 'long' // a text of several lines
  | 'secret'
  | 'list' // one value on each line
  | 'json'

export interface Field {
  name: string
  schema: Schema // the schema of the value if it is not null
  kind: FieldKind
  nullable: boolean
  initial: string // the default as text
  initialNull: boolean // whether the default is null
  doc: string
  rules: string // the rules in words, such as "more than 0, at most 1"
  type: string // the type annotation in the notebook
}

/** The input of a person in one field. */
export interface Entry {
  text: string
  isNull: boolean
}

export class FieldError extends Error {}

/** Return the fields of a form. */
export function fieldsOf(schema: Schema): Field[] {
  return Object.entries(schema.properties ?? {}).map(([name, each]) => fieldOf(name, each))
}

function fieldOf(name: string, whole: Schema): Field {
  const { schema, nullable } = withoutNull(whole)
  const kind = kindOf(schema)
  const initialNull = nullable && (whole.default === null || whole.default === undefined)
  return {
    name,
    schema,
    kind,
    nullable,
    initial: whole.default === undefined || whole.default === null ? '' : textOf(whole.default, kind),
    initialNull,
    doc: whole.description ?? schema.description ?? '',
    rules: rulesText(schema),
    type: whole['x-annotation'] ?? typeText(schema),
  }
}

function withoutNull(schema: Schema): { schema: Schema; nullable: boolean } {
  if (Array.isArray(schema.type)) {
    const types = schema.type.filter((each) => each !== 'null')
    const [only] = types
    const { type: _, ...rest } = schema
    return {
      schema: types.length === 1 && only !== undefined ? { ...rest, type: only } : { ...rest, type: types },
      nullable: types.length < schema.type.length,
    }
  }
  const options = schema.anyOf ?? schema.oneOf
  if (options) {
    const others = options.filter((each) => each.type !== 'null')
    const [only] = others
    const { anyOf: _, oneOf: __, ...rest } = schema
    if (others.length < options.length && others.length === 1 && only) {
      const inner = withoutNull(only)
      return { schema: { ...inner.schema, ...rest }, nullable: true }
    }
    return { schema, nullable: others.length < options.length }
  }
  if (schema.enum?.includes(null)) {
    return { schema: { ...schema, enum: schema.enum.filter((each) => each !== null) }, nullable: true }
  }
  return { schema, nullable: false }
}

function kindOf(schema: Schema): FieldKind {
  if (schema.writeOnly) return 'secret'
  if (schema.enum?.length) return 'choice'
  if (schema.anyOf || schema.oneOf) return 'json'
  switch (schema.type ?? typeof schema.default) {
    case 'boolean':
      return 'flag'
    case 'integer':
      return 'whole'
    case 'number':
      return 'number'
    case 'string':
      if (schema.format === 'date') return 'date'
      if (schema.format === 'date-time') return 'date-time'
      if (schema.format === 'time') return 'time'
      return typeof schema.default === 'string' && schema.default.includes('\n') ? 'long' : 'text'
    case 'array': {
      const items = schema.items
      if (items?.enum?.length && items.enum.length <= 12) return 'several'
      return items?.type === 'string' && !items.enum ? 'list' : 'json'
    }
    default:
      return 'json'
  }
}

function textOf(value: unknown, kind: FieldKind): string {
  if (kind === 'json' || kind === 'choice' || kind === 'several') return JSON.stringify(value)
  if (kind === 'list') return Array.isArray(value) ? value.map(String).join('\n') : JSON.stringify(value)
  if (kind === 'date-time') return String(value).slice(0, 16)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function typeText({ type, format, items }: Schema): string {
  if (type === 'array') return `list of ${items ? typeText(items) : 'values'}`
  return format ?? (Array.isArray(type) ? type.join(' or ') : (type ?? ''))
}

/** Return the rules of a value in words. */
export function rulesText(schema: Schema): string {
  const words: string[] = []
  const say = (value: number | string | undefined, text: string) => {
    if (value !== undefined) words.push(text.replace('{}', String(value)))
  }
  say(schema.exclusiveMinimum, 'more than {}')
  say(schema.minimum, 'at least {}')
  say(schema.exclusiveMaximum, 'less than {}')
  say(schema.maximum, 'at most {}')
  say(schema.multipleOf, 'a multiple of {}')
  say(schema.minLength, 'at least {} characters')
  say(schema.maxLength, 'at most {} characters')
  say(schema.minItems, 'at least {} values')
  say(schema.maxItems, 'at most {} values')
  say(schema.pattern, 'matching {}')
  return words.join(', ')
}

/** Return the entry that a field has at first. */
export function firstEntry(field: Field): Entry {
  return { text: field.initial, isNull: field.initialNull }
}

/** Return whether a field has another value than its default. */
export function isChanged(field: Field, entry: Entry): boolean {
  if (entry.isNull || field.initialNull) return entry.isNull !== field.initialNull
  return entry.text !== field.initial
}

/** Return the value of a field as JSON. Throw a `FieldError` that says what is wrong. */
export function readEntry({ schema, kind, nullable }: Field, { text, isNull }: Entry): unknown {
  if (isNull && nullable) return null
  switch (kind) {
    case 'flag':
      return text === 'true'
    case 'choice':
    case 'several':
      return JSON.parse(text || '[]')
    case 'whole':
    case 'number':
      return numberOf(text, schema, kind === 'whole')
    case 'json':
      return jsonOf(text)
    case 'list': {
      const lines = text.split('\n').filter(Boolean)
      checkCount(lines.length, schema)
      return lines
    }
    case 'date':
    case 'date-time':
    case 'time':
      if (!text) throw new FieldError('choose a value')
      return text
    default:
      checkText(text, schema)
      return text
  }
}

function numberOf(text: string, schema: Schema, whole: boolean): number {
  const value = Number(text)
  if (!text.trim() || Number.isNaN(value)) throw new FieldError(whole ? 'write a whole number' : 'write a number')
  if (whole && !Number.isInteger(value)) throw new FieldError('write a whole number')
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema
  if (minimum !== undefined && value < minimum) throw new FieldError(`must be at least ${minimum}`)
  if (maximum !== undefined && value > maximum) throw new FieldError(`must be at most ${maximum}`)
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) {
    throw new FieldError(`must be more than ${exclusiveMinimum}`)
  }
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) {
    throw new FieldError(`must be less than ${exclusiveMaximum}`)
  }
  return value
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new FieldError('write JSON, such as [1, 2] or {"key": "value"}; a text needs quotation marks')
  }
}

function checkCount(count: number, { minItems, maxItems }: Schema): void {
  if (minItems !== undefined && count < minItems) throw new FieldError(`needs at least ${minItems} values`)
  if (maxItems !== undefined && count > maxItems) throw new FieldError(`takes at most ${maxItems} values`)
}

function checkText(text: string, { minLength, maxLength, pattern }: Schema): void {
  if (minLength !== undefined && [...text].length < minLength)
    throw new FieldError(`needs at least ${minLength} characters`)
  if (maxLength !== undefined && [...text].length > maxLength)
    throw new FieldError(`takes at most ${maxLength} characters`)
  if (pattern !== undefined && !matches(pattern, text)) throw new FieldError(`must match ${pattern}`)
}

function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(text)
  } catch {
    return true // JavaScript cannot read this Python pattern; the server checks the value
  }
}
