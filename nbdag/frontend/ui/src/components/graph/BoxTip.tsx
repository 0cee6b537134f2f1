// The name and the state of the box under the pointer, where boxes are too small for text.
import type { DisplayState, Node } from '../../messages'
import { Sign, stateStyle } from '../Sign'
import type { Camera, Size } from './geometry'

interface Props {
  node: Node
  state: DisplayState
  camera: Camera
  size: Size
}

export function BoxTip({ node, state, camera, size }: Props) {
  const x = camera.x + node.x * camera.scale
  const y = camera.y + (node.y + node.height / 2) * camera.scale + 4
  const side = x < size.width / 2 ? { left: `${Math.max(0, x)}px` } : { right: `${Math.max(0, size.width - x)}px` }
  return (
    <div class="nbdag-tip" role="tooltip" style={{ ...side, top: `${y}px` }}>
      <b>{node.label}</b>
      <span>
        <Sign state={state} /> {stateStyle(state).word}
        {node.members.length > 1 ? `, ${node.members.length} tasks` : ''}
      </span>
    </div>
  )
}
