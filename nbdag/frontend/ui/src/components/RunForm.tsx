// The form with the parameters of a run of the whole notebook.

import type { Schema } from './form/fields'
import { ParameterFields } from './form/ParameterForm'
import { useParameters } from './form/useParameters'
import { plural } from './format'
import { useAnswer, useConnection } from './state/hooks'
import type { Store } from './state/store'
import { Waiting } from './Waiting'

interface Props {
  store: Store
  parameters: readonly string[] // names of the parameters; if this list changes, the form reads the parameters again
  onRun: (parameters: Record<string, unknown>) => void
  onClose: () => void
}

export function RunForm({ store, parameters, onRun, onClose }: Props) {
  const { open } = useConnection(store)
  const request = () => store.transport.send({ kind: 'parameters' })
  const answer = useAnswer(store, 'parameters', () => true, request, parameters.join())
  const form = useParameters(answer?.parameters as Schema | undefined)
  return (
    <form
      class="nbdag-run-form"
      aria-label="Parameters of the run"
      noValidate
      onSubmit={(event) => {
        event.preventDefault()
        const values = form.values()
        if (values) onRun(values)
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') {
          event.stopPropagation()
          onClose()
        }
        // In an output, JupyterLab prevents Enter from submitting the form.
        if (event.key === 'Enter' && event.target instanceof HTMLInputElement) {
          event.preventDefault()
          event.currentTarget.requestSubmit()
        }
      }}
    >
      {answer ? (
        <ParameterFields
          fields={form.fields}
          entries={form.entries}
          errors={form.errors}
          onEntry={form.enter}
          onReset={form.reset}
        />
      ) : (
        <Waiting store={store} />
      )}
      <footer>
        <span class="nbdag-muted">{plural(parameters.length, 'parameter')}; unchanged ones keep their defaults</span>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class="nbdag-primary" disabled={!open || !answer}>
          <span aria-hidden="true">▶</span> Run with these
        </button>
      </footer>
    </form>
  )
}
