import { describe, expect, it, vi } from 'vitest'
import { type OpenDocument, save } from './save'

function opened(model: { dirty: boolean; collaborative?: boolean }) {
  const calls = new Set<() => void>()
  const stateChanged = {
    connect: (call: () => void) => void calls.add(call),
    disconnect: (call: () => void) => void calls.delete(call),
  }
  const document: OpenDocument = { model: Object.assign(model, { stateChanged }), save: vi.fn(async () => {}) }
  return {
    document,
    model,
    calls,
    change() {
      for (const call of [...calls]) call()
    },
  }
}

describe('a notebook is saved before its file is used', () => {
  it('saves only what has changed', async () => {
    const [clean, dirty] = [opened({ dirty: false }), opened({ dirty: true })]
    await save(clean.document)
    await save(dirty.document)
    expect(clean.document.save).not.toHaveBeenCalled()
    expect(dirty.document.save).toHaveBeenCalledOnce()
  })

  it('waits for the server to save a shared notebook', async () => {
    const { document, model, calls, change } = opened({ dirty: true, collaborative: true })
    const saved = save(document)
    change()
    expect(calls.size).toBe(1)
    model.dirty = false
    change()
    await saved
    expect(document.save).not.toHaveBeenCalled()
    expect(calls.size).toBe(0)
  })

  it('reports that the server does not save', async () => {
    vi.useFakeTimers()
    try {
      const { document, calls } = opened({ dirty: true, collaborative: true })
      const failed = expect(save(document)).rejects.toThrow('The server has not saved the notebook yet.')
      await vi.advanceTimersByTimeAsync(20_000)
      await failed
      expect(calls.size).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })
})
