// A short table in a frame that scrolls sideways on narrow pages. run/List.tsx is for tables of thousands of rows.
import type { ComponentChildren } from 'preact'

export interface Column<T> {
  name: string
  title?: string
  isNumber?: boolean
  isHeader?: boolean // whether the cell names the row
  cell: (row: T) => ComponentChildren
}

interface Props<T> {
  columns: readonly Column<T>[]
  rows: readonly T[]
  keyOf: (row: T) => string
  classOf?: (row: T) => string
}

export function Table<T>({ columns, rows, keyOf, classOf }: Props<T>) {
  const kind = ({ isNumber }: Column<T>) => (isNumber ? 'pg-number' : undefined)
  return (
    <div class="pg-scroll">
      <table class="pg-table pg-auto">
        <thead>
          <tr>
            {columns.map((each) => (
              <th key={each.name} scope="col" class={kind(each)} title={each.title}>
                {each.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} class={classOf?.(row)}>
              {columns.map((each) =>
                each.isHeader ? (
                  <th key={each.name} scope="row">
                    {each.cell(row)}
                  </th>
                ) : (
                  <td key={each.name} class={kind(each)}>
                    {each.cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
