// A pipeline for the tests, and a transport that carries messages to them.
import type { Beginning, Node, Picture, Request, Told } from './messages'
import type { Transport } from './transport'

export function node(id: string, x = 0, y = 0, members: string[] = [id]): Node {
  return { id, label: id, x, y, width: 100, height: 40, members, mapped: false, note: '', doc: '' }
}

export function picture(nodes: Node[], links: [string, string][] = []): Picture {
  return {
    dag: 'churn',
    notebook: '',
    direction: 'LR',
    collapsed: false,
    chains: 0,
    width: 600,
    height: 300,
    nodes,
    lines: links.map(([source, target]) => ({
      source,
      target,
      declared: false,
      names: ['x'],
      path: 'M0,0C1,1 2,2 3,3',
      tip: '',
      label: 'x',
      x: 0,
      y: 0,
      why: ['x: written in cell 1, line 1; read in cell 2, line 1'],
    })),
    order: nodes.flatMap((each) => each.members),
    problems: [],
  }
}

export const BEGINNING: Beginning = { number: 0, session: {}, runs: [], can: ['all', 'only', 'cancel'] }

export class Carrier implements Transport {
  sent: Request[] = []
  hear: (told: Told) => void = () => {}

  send(request: Request): void {
    this.sent.push(request)
  }

  listen(hear: (told: Told) => void): () => void {
    this.hear = hear
    return () => {
      this.hear = () => {}
    }
  }
}
