// A pipeline for the tests, and a transport that records requests and delivers messages.
import type { InitialState, Message, Node, Picture, Request } from '../messages'
import type { Transport } from './state/transport'

export function node(id: string, x = 0, y = 0, members: string[] = [id]): Node {
  return { id, label: id, x, y, width: 100, height: 40, members, mapped: false, group: false, note: '', doc: '' }
}

export function picture(nodes: Node[], links: [string, string][] = []): Picture {
  return {
    dag: 'churn',
    notebook: '',
    direction: 'LR',
    collapsed: false,
    chains: 0,
    groups: [],
    folded: [],
    width: 600,
    height: 300,
    nodes,
    lines: links.map(([source, target]) => ({
      source,
      target,
      declared: false,
      names: ['x'],
      imports: [],
      files: [],
      path: 'M0,0C1,1 2,2 3,3',
      tip: '',
      label: 'x',
      x: 0,
      y: 0,
      why: ['x: written in cell 1, line 1; read in cell 2, line 1'],
    })),
    order: nodes.flatMap((each) => each.members),
    parameters: [],
    problems: [],
    explanations: {},
    dropped: [],
  }
}

export const INITIAL_STATE: InitialState = { number: 0, session: {}, runs: [], actions: ['all', 'only', 'cancel'] }

export class FakeTransport implements Transport {
  sent: Request[] = []
  receive: (message: Message) => void = () => {}

  send(request: Request): void {
    this.sent.push(request)
  }

  listen(receive: (message: Message) => void): () => void {
    this.receive = receive
    return () => {
      this.receive = () => {}
    }
  }
}
