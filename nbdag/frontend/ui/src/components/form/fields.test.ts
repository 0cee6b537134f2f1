import { describe, expect, it } from 'vitest'
import { type Entry, FieldError, fieldsOf, firstEntry, isChanged, readEntry, type Schema } from './fields'

const one = (schema: Schema) => {
  const [field] = fieldsOf({ properties: { x: schema } })
  if (!field) throw new Error('no field')
  return field
}
const entered = (text: string): Entry => ({ text, isNull: false })

describe('fields from a JSON Schema', () => {
  it.each<[Schema, string, string]>([
    [{ type: 'boolean', default: true }, 'flag', 'true'],
    [{ type: 'integer', default: 3 }, 'whole', '3'],
    [{ type: 'number', default: 0.5 }, 'number', '0.5'],
    [{ type: 'string', default: 'a' }, 'text', 'a'],
    [{ type: 'string', default: 'a\nb' }, 'long', 'a\nb'],
    [{ type: 'string', format: 'date', default: '2026-01-31' }, 'date', '2026-01-31'],
    [{ type: 'string', format: 'date-time', default: '2026-01-31T06:00:00' }, 'date-time', '2026-01-31T06:00'],
    [{ enum: ['EU', 'US'], default: 'EU' }, 'choice', '"EU"'],
    [{ type: 'array', items: { enum: [1, 2] }, default: [2] }, 'several', '[2]'],
    [{ type: 'array', items: { type: 'string' }, default: ['a', 'b'] }, 'list', 'a\nb'],
    [{ type: 'array', items: { type: 'integer' }, default: [1, 2] }, 'json', '[1,2]'],
    [{ type: 'object', default: { a: 1 } }, 'json', '{"a":1}'],
    [{ type: 'string', writeOnly: true, default: '***' }, 'secret', '***'],
    [{ default: 1 }, 'number', '1'],
    [{ default: false }, 'flag', 'false'],
    [{ default: 'a' }, 'text', 'a'],
    [{ default: [1] }, 'json', '[1]'],
  ])('shows %j as %s', (schema, kind, initial) => {
    expect(one(schema)).toMatchObject({ kind, initial })
  })

  it.each<[Schema, boolean, string]>([
    [{ type: ['integer', 'null'], default: null }, true, 'whole'],
    [{ anyOf: [{ type: 'string' }, { type: 'null' }], default: 'a' }, false, 'text'],
    [{ enum: ['a', null], default: null }, true, 'choice'],
  ])('offers None for %j', (schema, initialNull, kind) => {
    const field = one(schema)
    expect(field).toMatchObject({ nullable: true, initialNull, kind })
    expect(readEntry(field, { text: '', isNull: true })).toBeNull()
  })

  it.each<[Schema, string, unknown]>([
    [{ type: 'integer' }, '7', 7],
    [{ type: 'number' }, '1e-3', 0.001],
    [{ type: 'boolean' }, 'true', true],
    [{ enum: [1, 'b'] }, '"b"', 'b'],
    [{ type: 'array', items: { type: 'string' } }, 'a\nb\n', ['a', 'b']],
    [{ type: 'object' }, '{"a": [1]}', { a: [1] }],
    [{ type: 'string' }, '1.10', '1.10'],
  ])('reads back %j from %s', (schema, text, value) => {
    expect(readEntry(one(schema), entered(text))).toEqual(value)
  })

  it.each<[Schema, string, string]>([
    [{ type: 'integer' }, '1.5', 'write a whole number'],
    [{ type: 'integer' }, '', 'write a whole number'],
    [{ type: 'number', exclusiveMaximum: 1 }, '1', 'must be less than 1'],
    [{ type: 'number', minimum: 0 }, '-1', 'must be at least 0'],
    [{ type: 'string', pattern: '^[a-z]+$' }, 'A', 'must match ^[a-z]+$'],
    [{ type: 'string', minLength: 2 }, 'é', 'needs at least 2 characters'],
    [{ type: 'object' }, '{a}', 'write JSON, such as [1, 2] or {"key": "value"}; a text needs quotation marks'],
  ])('refuses for %j the text %s', (schema, text, why) => {
    expect(() => readEntry(one(schema), entered(text))).toThrow(new FieldError(why))
  })

  it('knows which values differ from their defaults, so that only those are sent', () => {
    const field = one({ type: ['integer', 'null'], default: 3 })
    expect(isChanged(field, firstEntry(field))).toBe(false)
    expect(isChanged(field, entered('4'))).toBe(true)
    expect(isChanged(field, { text: '3', isNull: true })).toBe(true)
  })
})
