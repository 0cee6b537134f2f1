// A long table that scrolls in its own frame. The document contains only the rows in view.
import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import { equalHeights, useVisible } from '../../components/virtual'

interface Props<T> {
  label: string
  columns: readonly { name: string; class?: string }[]
  rows: readonly T[]
  height: number // height of a row in pixels
  keyOf: (row: T, at: number) => string
  children: (row: T, at: number) => ComponentChildren // the cells of a row
}

export function List<T>({ label, columns, rows, height, keyOf, children }: Props<T>) {
  const [frame, setFrame] = useState<HTMLDivElement | null>(null)
  const heights = useMemo(() => equalHeights(rows.length, height), [rows.length, height])
  const { first, last } = useVisible(frame, heights)
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
    <div class="run-list" ref={setFrame} tabIndex={0} role="region" aria-label={label}>
      <table aria-rowcount={rows.length + 1}>
        <thead>
          <tr>
            {columns.map((each) => (
              <th key={each.name} scope="col" class={each.class}>
                {each.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {first > 0 ? <tr aria-hidden="true" style={{ height: `${heights.top(first)}px` }} /> : null}
          {rows.slice(first, last).map((row, n) => (
            <tr key={keyOf(row, first + n)} aria-rowindex={first + n + 2} style={{ height: `${height}px` }}>
              {children(row, first + n)}
            </tr>
          ))}
          {last < rows.length ? (
            <tr aria-hidden="true" style={{ height: `${heights.total - heights.top(last)}px` }} />
          ) : null}
        </tbody>
      </table>
    </div>
  )
}
