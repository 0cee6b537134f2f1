// To a line of a cell, in JupyterLab and Notebook 7. Of a long notebook they have only those cells on the page that are near
// what is in view, so it is scrolled until the cell is among them.

const PAGES = 200 // scrolled at most

export async function jump(from: Element, cell: number, line: number): Promise<void> {
  const notebook = from.closest('.jp-Notebook')
  const found = notebook && (await cellOf(notebook, cell))
  if (!found) return
  const place = found.querySelectorAll('.cm-line')[line - 1] ?? found
  place.scrollIntoView({ block: 'center', behavior: 'smooth' })
  place.classList.add('nbdag-flash')
  setTimeout(() => place.classList.remove('nbdag-flash'), 1600)
}

async function cellOf(notebook: Element, cell: number): Promise<Element | undefined> {
  const scroller = notebook.querySelector('.jp-WindowedPanel-outer')
  for (let page = 0; page < PAGES; page += 1) {
    const there = [...notebook.querySelectorAll<HTMLElement>('.jp-Cell')]
    const at = there.map((each, n) => Number(each.dataset.windowedListIndex ?? n))
    const found = there[at.indexOf(cell)]
    // Its lines are there a little after it is.
    if (found && (found.querySelector('.cm-line') || page > PAGES - 2)) return found
    if (!scroller || !at.length) return found
    if (!found) scroller.scrollTop += (cell < Math.min(...at) ? -1 : 1) * scroller.clientHeight
    await new Promise((done) => setTimeout(done, 30))
  }
  return undefined
}
