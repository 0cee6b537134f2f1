// Show a line of a cell, in JupyterLab and Notebook 7. JupyterLab's notebook widget scrolls to the cell. By
// default, this widget adds the cells of a long notebook to the page from the top and only while the browser
// is idle. So the cell may not be on the page yet.

import { type Cell, type Manager, type Notebook, notebookOf } from './notebook'

// Name of the CSS class of the highlighted line, and of the animation of that class.
const FLASH = 'nbdag-flash'
// Maximum wait for CodeMirror to draw a line, in frames; a collapsed input never draws a line.
const FRAMES = 30
const RESTARTS = 20 // maximum number of restarts of the animation

/** Show a line of a cell. Return why the line cannot be shown, or "" if it is shown. */
export async function jump(manager: unknown, id: string, cell: number, line: number): Promise<string> {
  const name = `Cell ${cell + 1}`
  const notebook = await notebookOf(manager as Manager | undefined, id)
  if (!notebook) return `${name} cannot be shown: this page does not give access to its notebook.`
  const found = notebook.widgets[cell]
  if (!found) return `${name} is no longer in the notebook: run %dag again.`
  if (!(await attached(notebook, found, cell)))
    return `${name} is not shown: its notebook was closed, or the cell deleted.`
  if (found.isHidden) return `${name} is under a collapsed heading: expand that first.`
  found.editor?.revealPosition({ line: line - 1, column: 0 })
  void flash(found, line)
  return ''
}

/** Scroll to a cell and let the notebook add the cell to the page. Return whether the cell is on the page. */
async function attached(notebook: Notebook, cell: Cell, index: number): Promise<boolean> {
  let scrolling = false
  while (!cell.node.isConnected) {
    if (!notebook.isVisible || notebook.widgets[index] !== cell) return false
    if (!scrolling) {
      // If the notebook keeps only visible cells on the page, it adds the cell when it is scrolled to the cell.
      scrolling = true
      const stop = () => {
        scrolling = false
      }
      notebook.scrollToItem(index, 'center').then(stop, stop)
    }
    // Otherwise the notebook now adds the next cells without waiting until the browser is idle.
    notebook.update()
    await frame()
  }
  await cell.ready
  return true
}

/**
 * Scroll a line to the middle of the view and highlight it. CodeMirror may replace the line during the
 * animation.
 */
async function flash(cell: Cell, line: number): Promise<void> {
  let ended = false
  const end = (event: AnimationEvent) => {
    ended ||= event.animationName === FLASH
  }
  cell.node.addEventListener('animationend', end)
  let place: Element | undefined
  let [waits, restarts] = [0, 0]
  while (!ended && restarts < RESTARTS && cell.node.isConnected) {
    const now = lineOf(cell, line) ?? (waits++ < FRAMES ? undefined : cell.node)
    if (now && !(now === place && now.classList.contains(FLASH))) {
      restarts += 1
      place?.classList.remove(FLASH)
      place = now
      place.classList.add(FLASH)
      place.scrollIntoView({ block: 'center', behavior: 'smooth' })
    }
    await frame()
  }
  cell.node.removeEventListener('animationend', end)
  place?.classList.remove(FLASH)
}

/**
 * Return the element of a line, or of the cell if it has no such line. Return undefined if the line is not
 * drawn yet.
 */
function lineOf({ node, editor }: Cell, line: number): Element | undefined {
  const view = editor?.editor
  if (!view || line > view.state.doc.lines) return node
  const at = view.domAtPos(view.state.doc.line(line).from).node
  const found = (at instanceof Element ? at : at.parentElement)?.closest('.cm-line')
  return found?.isConnected ? found : undefined
}

function frame(): Promise<unknown> {
  return new Promise(requestAnimationFrame)
}
