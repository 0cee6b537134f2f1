// The selected task, or the selected chain or group of tasks, of a view.
import { useCallback, useMemo, useState } from 'preact/hooks'
import type { Picture } from '../../messages'

export interface Selection {
  task: string // id of the selected task, or ''
  chain: readonly string[] // ids of the tasks of the selected chain or group
  box: string // id of the selected box, or ''
  boxOf(task: string): string
  selectBox(id: string): void
  selectTask(task: string): void
  clear(): void
}

export function useSelection(picture: Picture): Selection {
  const [task, setTask] = useState('')
  const [chainBox, setChainBox] = useState('')
  const boxes = useMemo(
    () => new Map(picture.nodes.flatMap((node) => node.members.map((member) => [member, node.id] as const))),
    [picture],
  )
  const selectBox = useCallback(
    (id: string) => {
      const node = picture.nodes.find((each) => each.id === id)
      const isChain = node !== undefined && (node.group || node.members.length > 1)
      setChainBox(isChain ? id : '')
      setTask(isChain ? '' : id)
    },
    [picture],
  )
  const selectTask = useCallback((id: string) => {
    setChainBox('')
    setTask(id)
  }, [])
  const clear = useCallback(() => selectTask(''), [selectTask])
  const boxOf = useCallback((id: string) => boxes.get(id) ?? '', [boxes])
  return {
    task: picture.order.includes(task) ? task : '',
    chain: picture.nodes.find((node) => node.id === chainBox)?.members ?? [],
    box: chainBox || boxOf(task),
    boxOf,
    selectBox,
    selectTask,
    clear,
  }
}
