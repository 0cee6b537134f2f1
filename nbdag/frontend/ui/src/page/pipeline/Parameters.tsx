// The parameters of a pipeline: types, defaults, rules and descriptions.
import type { Pipeline } from '../../api'
import { fieldsOf, type Schema } from '../../components/form/fields'
import { path } from '../location'
import { Empty, Loaded } from '../states'
import { useResource } from '../useResource'

/** Return a value as Python writes it. */
function pythonText(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  return value === null ? 'None' : JSON.stringify(value)
}

export function Parameters({ pipeline: { id: dag } }: { pipeline: Pipeline }) {
  const schema = useResource<Schema>(
    path`dags/${dag}/parameters`,
    (change) => change.dag === dag && change.kind === 'dag',
  )
  return (
    <Loaded of={schema}>
      {(data) => {
        const fields = fieldsOf(data)
        if (!fields.length) {
          return (
            <Empty title="No parameters">
              <p>
                A cell that begins with <code>%%params</code> sets defaults, and each run can set other values.
              </p>
            </Empty>
          )
        }
        return (
          <div class="pg-scroll">
            <table class="pg-table pg-fit">
              <thead>
                <tr>
                  <th scope="col">Parameter</th>
                  <th scope="col">Type</th>
                  <th scope="col">Default</th>
                  <th scope="col">Rules</th>
                  <th scope="col">Description</th>
                </tr>
              </thead>
              <tbody>
                {fields.map(({ name, type, rules, doc, initialNull, schema: { default: value, enum: choices } }) => (
                  <tr key={name}>
                    <th scope="row" class="pg-strong">
                      {name}
                    </th>
                    <td>{type ? <code>{type}</code> : <span class="nbdag-muted">any</span>}</td>
                    <td>
                      <code>{initialNull ? 'None' : value === undefined ? 'computed' : pythonText(value)}</code>
                    </td>
                    <td>{rules || (choices ? `one of ${choices.map(pythonText).join(', ')}` : '')}</td>
                    <td class="pg-wrap">{doc}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )
      }}
    </Loaded>
  )
}
