// What the API answers about a run, besides the messages of the shared components.
import type { DisplayState, RunState } from '../../messages'

export interface Question {
  dag: string
  run: string
  task: string // name of the instance: `deploy`, or `deploy[3]`
  text: string
  asked: number
  until: number | null
}

export interface RunEvent {
  kind: 'run' | 'task'
  state: DisplayState | RunState
  at: number
  task: string | null
  map_index: number
  try_number: number
  message: string
}

export interface StoredValue {
  task: string
  map_index: number
  name: string
  type: string
  bytes: number
  summary: string
  digest: string
}
