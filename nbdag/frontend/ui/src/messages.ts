// Written by ui/messages.py from frontend/messages.py, graphs/marks.py, core/model/states.py: change those.

export type Direction = "LR" | "TB"

export type Arrangement = "auto" | "LR" | "TB"

/** How a task stands. A task of which nothing is said has not run. */
export interface Standing {
  state: string
  started?: number
  duration?: number
  tries?: number
  count?: number
  ended?: number
  failed?: number
  reason?: string
}

/** A run, in a line. */
export interface RunBrief {
  id: string
  state: string
  created: number
  started: number | null
  ended: number | null
  partial: boolean
  error: string
}

/** A box: a task, or a chain of tasks that is drawn as one. */
export interface Node {
  id: string
  label: string
  x: number
  y: number
  width: number
  height: number
  members: string[]
  mapped: boolean
  note: string
  doc: string
}

/** An edge, drawn. */
export interface Line {
  source: string
  target: string
  declared: boolean
  names: string[]
  path: string
  tip: string
  label: string
  x: number
  y: number
  why: string[]
}

/** The graph, laid out. It changes when the notebook's structure does, never when a state does. */
export interface Picture {
  dag: string
  notebook: string
  direction: "LR" | "TB"
  collapsed: boolean
  chains: number
  width: number
  height: number
  nodes: Node[]
  lines: Line[]
  order: string[]
  problems: string[]
}

/** The live session and the latest runs, whole: what a front end begins with. */
export interface Beginning {
  number: number
  session: Record<string, Standing>
  runs: RunBrief[]
  can: string[]
}

/** Why an edge is there: a name, read here and written there. */
export interface Use {
  name: string
  read_cell: number
  read_line: number
  written_cell: number
  written_line: number
}

/** A task before or after another, and why. */
export interface Neighbour {
  task: string
  declared: boolean
  uses: Use[]
}

/** A value that a task was given or left. */
export interface Value {
  name: string
  task: string
  type: string
  bytes: number | null
  summary: string
  stored: boolean
}

/** One attempt at a task. */
export interface Try {
  map_index: number
  number: number
  state: string
  started: number | null
  ended: number | null
  error: string
  notes: string[]
}

/** How long a task took in an earlier run. */
export interface Past {
  run: string
  state: string
  duration: number | null
}

/** One output of an attempt: a picture as base64, text as text. HTML is shown where no script runs. */
export interface Output {
  mime: string
  data: string
}

/** An attempt on the timeline. */
export interface Bar {
  task: string
  map_index: number
  number: number
  state: string
  started: number
  ended: number | null
}

/** A column of the grid. */
export interface GridRun {
  run: RunBrief
  states: Record<string, string>
}

export interface Hello {
  kind: "hello"
  number: number
}

/** The notebook's file has been written: cells may read otherwise than when they ran. */
export interface Saved {
  kind: "saved"
}

export interface Arrange {
  kind: "arrange"
  view: string
  direction: "auto" | "LR" | "TB"
  collapsed: boolean
}

export interface LookAt {
  kind: "look"
  run: string
}

export interface AskTask {
  kind: "task"
  task: string
  run: string
}

export interface AskTry {
  kind: "try"
  run: string
  task: string
  map_index: number
  number: number
}

export interface AskValue {
  kind: "value"
  run: string
  task: string
  name: string
}

export interface AskTimeline {
  kind: "timeline"
  run: string
}

export interface AskGrid {
  kind: "grid"
}

export interface Act {
  kind: "act"
  what: "all" | "only" | "upto" | "from" | "retry" | "retry_only" | "retry_failed" | "cancel" | "deploy" | "load"
  task: string
  run: string
}

/** Something moved. */
export interface TellChange {
  kind: "change"
  number: number
  of: string
  tasks: Record<string, Standing>
  run: RunBrief | null
}

export interface TellAll {
  kind: "all"
  all: Beginning
}

export interface TellPicture {
  kind: "picture"
  view: string
  picture: Picture
}

export interface TellRun {
  kind: "run"
  run: RunBrief
  tasks: Record<string, Standing>
}

export interface TellTask {
  kind: "task"
  task: string
  run: string
  doc: string
  cell: number
  source: string[][][]
  options: string[][]
  before: Neighbour[]
  after: Neighbour[]
  inputs: Value[]
  outputs: Value[]
  tries: Try[]
  past: Past[]
}

export interface TellTry {
  kind: "try"
  run: string
  task: string
  map_index: number
  number: number
  outputs: Output[]
  log: string
  path: string
}

export interface TellValue {
  kind: "value"
  run: string
  task: string
  name: string
  outputs: Output[]
}

export interface TellTimeline {
  kind: "timeline"
  run: string
  bars: Bar[]
}

export interface TellGrid {
  kind: "grid"
  runs: GridRun[]
}

export interface TellNotice {
  kind: "notice"
  level: "info" | "error"
  text: string
}

export type Request =
  | Hello
  | Saved
  | Arrange
  | LookAt
  | AskTask
  | AskTry
  | AskValue
  | AskTimeline
  | AskGrid
  | Act

export type Told =
  | TellChange
  | TellAll
  | TellPicture
  | TellRun
  | TellTask
  | TellTry
  | TellValue
  | TellTimeline
  | TellGrid
  | TellNotice

/** How a state is told: in a word, a colour, and a sign drawn in a box of 12 by 12. */
export interface Look {
  word: string
  colour: string
  path: string
  filled: string
}

export const LOOKS: Record<string, Look> = {
  none: {
    word: "not run",
    colour: "#768390",
    path: "M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9",
    filled: ""
  },
  scheduled: {
    word: "scheduled",
    colour: "#8a63d2",
    path: "M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9M6 3.5V6h2.2",
    filled: ""
  },
  queued: {
    word: "queued",
    colour: "#8a63d2",
    path: "M2 6h.01M6 6h.01M10 6h.01",
    filled: ""
  },
  running: {
    word: "running",
    colour: "#2f7ae5",
    path: "M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9",
    filled: "M6 1.5a4.5 4.5 0 0 1 0 9z"
  },
  success: {
    word: "done",
    colour: "#2c9149",
    path: "M1.8 6.6l2.8 2.8L10.2 3",
    filled: ""
  },
  failed: {
    word: "failed",
    colour: "#dc3f43",
    path: "M2.5 2.5l7 7M9.5 2.5l-7 7",
    filled: ""
  },
  skipped: {
    word: "skipped",
    colour: "#768390",
    path: "M2 2.5L5.5 6L2 9.5M6.5 2.5L10 6L6.5 9.5",
    filled: ""
  },
  upstream_failed: {
    word: "upstream failed",
    colour: "#c96620",
    path: "M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9M2.9 9.1L9.1 2.9",
    filled: ""
  },
  up_for_retry: {
    word: "up for retry",
    colour: "#a97a00",
    path: "M9.8 4.2A4.3 4.3 0 1 0 10.3 6.6M10.2 1.6V4.4H7.4",
    filled: ""
  },
  up_for_reschedule: {
    word: "up for reschedule",
    colour: "#8a63d2",
    path: "M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9M6 3.5V6H4",
    filled: ""
  },
  restarting: {
    word: "restarting",
    colour: "#a97a00",
    path: "M2.2 4.2A4.3 4.3 0 1 1 1.7 6.6M1.8 1.6V4.4H4.6",
    filled: ""
  },
  removed: {
    word: "removed",
    colour: "#768390",
    path: "M2 6h8",
    filled: ""
  },
  stale: {
    word: "stale",
    colour: "#a97a00",
    path: "M6 1.6L11 10.4H1zM6 4.9v2.4M6 8.9h.01",
    filled: ""
  }
}

/** Of several that are shown as one, the state that is told: the first that any of them is in. */
export const STATE_PRECEDENCE = [
  "failed",
  "running",
  "restarting",
  "up_for_retry",
  "up_for_reschedule",
  "queued",
  "scheduled",
  "upstream_failed",
  "none",
  "success",
  "skipped",
  "removed"
]
