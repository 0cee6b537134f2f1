// The report of a run: the notebook with the outputs of every task, in a frame that can run nothing.
import { useEffect, useState } from 'preact/hooks'
import { apiAddress, request } from '../api'
import { live } from '../live'
import { Empty, ErrorState, Loading } from '../states'
import { runAddress } from '../transport'

const REFRESH = 3000 // milliseconds between two readings of the report of an active run

interface Props {
  dag: string
  run: string
  active: boolean
}

export function Report({ dag, run, active }: Props) {
  const address = runAddress(dag, run, 'report')
  const [hidesCode, setHidesCode] = useState(false)
  const [round, setRound] = useState(0)
  const [report, setReport] = useState<{ address: string; html?: string; error?: Error }>()
  const wanted = hidesCode ? `${address}?code=hidden` : address

  useEffect(() => {
    let current = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const read = () =>
      request(wanted, {})
        .then((response) => response.text())
        .then(
          (html) => current && setReport((before) => (before?.html === html ? before : { address: wanted, html })),
          (error: Error) => current && setReport({ address: wanted, error }),
        )
    read()
    const stop = live.onChange((change) => {
      if (!active || (change.kind !== 'all' && change.run !== run)) return
      timer ??= setTimeout(() => {
        timer = undefined
        read()
      }, REFRESH)
    })
    return () => {
      current = false
      stop()
      clearTimeout(timer)
    }
  }, [wanted, active, run, round])

  const own = report?.address === wanted ? report : undefined
  return (
    <div class="run-report">
      <div class="run-bar">
        <label>
          <input type="checkbox" checked={hidesCode} onChange={(event) => setHidesCode(event.currentTarget.checked)} />{' '}
          Hide the code
        </label>
        {active ? <span class="nbdag-muted">The report grows while the run goes on.</span> : null}
        <span class="nbdag-spacer" />
        {own?.html ? (
          <span class="run-buttons">
            <a class="pg-button" href={apiAddress(address)} download={`${dag}-${run}.html`}>
              Download HTML
            </a>
            <a class="pg-button" href={apiAddress(runAddress(dag, run, 'notebook'))} download={`${dag}-${run}.ipynb`}>
              Download notebook
            </a>
          </span>
        ) : null}
      </div>
      {own?.error ? (
        <ErrorState error={own.error} onRetry={() => setRound(round + 1)} />
      ) : own?.html === undefined ? (
        <Loading lines={10} what="Loading the report" />
      ) : own.html ? (
        <iframe title="Report of the run" sandbox="" srcdoc={own.html} />
      ) : (
        <Empty title="No report yet" />
      )}
    </div>
  )
}
