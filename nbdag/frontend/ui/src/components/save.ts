// Save an open notebook before its file is used.

interface Signal {
  connect(call: () => void): void
  disconnect(call: () => void): void
}
export interface OpenDocument {
  readonly model: { readonly dirty?: boolean; readonly collaborative?: boolean; readonly stateChanged?: Signal }
  save(): Promise<void>
}

const LONGEST = 15_000 // milliseconds that the server may take to save a shared notebook

/**
 * Save the unsaved changes of a notebook. The server itself saves a shared notebook. If a page saved it, too,
 * JupyterLab would ask which version to keep. So for a shared notebook, only wait until the server has saved it.
 */
export async function save(document: OpenDocument): Promise<void> {
  const { model } = document
  if (!model.dirty) return
  if (!model.collaborative || !model.stateChanged) return document.save()
  const { stateChanged } = model
  await new Promise<void>((resolve, reject) => {
    const end = (call: () => void) => {
      clearTimeout(timer)
      stateChanged.disconnect(check)
      call()
    }
    const check = () => {
      if (!model.dirty) end(resolve)
    }
    const timer = setTimeout(() => end(() => reject(new Error('The server has not saved the notebook yet.'))), LONGEST)
    stateChanged.connect(check)
    check()
  })
}
