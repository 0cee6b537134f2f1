// The side panel: the graph and the runs of the active notebook, and the form of its active cell.
import { useCallback, useEffect, useReducer, useState } from 'preact/hooks'
import { App } from '../components/App'
import type { Store } from '../components/state/store'
import type { Host } from '../components/state/transport'
import type { Book } from './book'
import { jump } from './cells'
import { DagForm } from './DagForm'
import { explain } from './explain'
import { CellForm } from './Form'
import type { OptionHelp } from './options'
import { Proposal } from './Proposal'

interface Props {
  book: Book | undefined
  store: Store | undefined
  host: Host
  options: OptionHelp
  focusName: number // changes when the focus should move to the name in the form
}

export function Panel({ book, store, host, options, focusName }: Props) {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const [failed, setFailed] = useState('')
  useEffect(() => {
    setFailed('')
    const stops = [options.changed.on(() => redraw(undefined))]
    if (book) {
      stops.push(
        book.changed.on(() => redraw(undefined)),
        book.moved.on(() => {
          setFailed('')
          redraw(undefined)
        }),
      )
    }
    return () => {
      for (const stop of stops) stop()
    }
  }, [book, options])
  const onError = useCallback((error: Error) => setFailed(explain(error)), [])
  if (!book) return <p class="nbdag-empty">Open a notebook to see its pipeline.</p>
  const { activeCell, widgets } = book.notebook
  const error = failed || (book.error ? explain(book.error) : '') || book.kernelError
  return (
    <>
      {error ? (
        <p class="nbdag-panel-error" role="alert">
          {error}
        </p>
      ) : null}
      {book.proposal ? (
        <Proposal
          proposal={book.proposal}
          onShow={(cell) => void jump(book, cell, 1)}
          onClose={() => book.propose(undefined)}
        />
      ) : null}
      {store && book.analysis ? (
        <section class="nbdag-root nbdag-graph-section" aria-label="Pipeline of this notebook">
          <App key={book.panel.id} store={store} host={host} />
        </section>
      ) : (
        <p class="nbdag-muted" role="status">
          {book.error ? '' : 'Reading the notebook…'}
        </p>
      )}
      {activeCell && book.analysis ? (
        <section class="nbdag-cell-section" aria-label="The active cell">
          <h2>Cell {widgets.indexOf(activeCell) + 1}</h2>
          <CellForm
            key={activeCell.model.id}
            book={book}
            cell={activeCell}
            options={options}
            focusName={focusName}
            onError={onError}
          />
        </section>
      ) : null}
      {book.analysis ? (
        <details class="nbdag-cell-section nbdag-dag-section">
          <summary>Schedule and options of the pipeline</summary>
          <DagForm book={book} options={options} onError={onError} />
        </details>
      ) : null}
    </>
  )
}
