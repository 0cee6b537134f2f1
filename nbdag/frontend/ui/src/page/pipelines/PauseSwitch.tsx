// The switch that pauses the schedule of a pipeline.
import { useState } from 'preact/hooks'
import { api } from '../api'
import { path } from '../location'
import { notify, notifyError } from '../toasts'

interface Props {
  dag: string
  paused: boolean
  onChanged: () => void
  labelled?: boolean // whether the state is written beside the switch
}

export function PauseSwitch({ dag, paused, onChanged, labelled = false }: Props) {
  const [wanted, setWanted] = useState<boolean>()
  const shown = wanted ?? paused
  const change = async () => {
    const next = !shown
    setWanted(next) // shown immediately, and undone on an error
    try {
      await api.post(path`dags/${dag}/${next ? 'pause' : 'unpause'}`)
      notify(next ? `${dag} is paused: its schedule starts no runs.` : `${dag} runs on its schedule again.`)
      onChanged()
    } catch (error) {
      notifyError(error)
    } finally {
      setWanted(undefined)
    }
  }
  return (
    <span class="pg-switch-with">
      <button
        type="button"
        role="switch"
        class="pg-switch"
        aria-checked={!shown}
        aria-label={`Schedule of ${dag}`}
        title={shown ? 'Paused: click to resume the schedule' : 'Active: click to pause the schedule'}
        onClick={change}
      >
        <i aria-hidden="true" />
      </button>
      {labelled ? <span class="nbdag-muted">{shown ? 'paused' : 'active'}</span> : null}
    </span>
  )
}
