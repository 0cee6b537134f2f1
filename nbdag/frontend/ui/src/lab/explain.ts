// The sentence that explains an error to a person. A server without nbdag does not know the paths of its API.
import { ProblemError } from '../page/api'

export function explain(error: unknown): string {
  if (error instanceof ProblemError && error.status === 404 && !error.code)
    return 'This Jupyter server does not have the extension of nbdag: install nbdag in its environment, and restart it.'
  return error instanceof Error ? error.message : String(error)
}
