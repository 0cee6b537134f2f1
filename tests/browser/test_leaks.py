"""A widget that stays open for long leaks nothing."""

from __future__ import annotations

from .bare import broad_cells, drawn

TASKS = 20
KEPT = 20  # runs that the widget keeps
MINUTES = 10
HEAP = 8_300  # bytes that a minute may add
# Each minute a run begins and ends; from the minute `watched` on, its tasks change and every view shows it. `answer`
# acts as the kernel.
RUNS = """async ([first, minutes, watched, tasks, pictures]) => {
  const base = { inputs: [], outputs: [], upstream: [], downstream: [], options: [['retries', '2']], doc: '', cell: 1 }
  const value = { name: 'x', task: 'step_0', type: 'int', bytes: 28, summary: '1', stored: true }
  const html = { mime: 'text/html', data: '<table><tr><td>1</td></tr></table>' }
  const answer = () => {
    for (const asked of bare.sent.splice(0)) {
      const { kind, run, task } = asked
      window.asked = { ...window.asked, [kind]: (window.asked?.[kind] ?? 0) + 1 }
      if (kind === 'task')
        bare.receive({ ...base, kind, run, task, source: [[['keyword', 'pass']]], inputs: [value], outputs: [value],
          attempts: [{ map_index: -1, try_number: 1, state: 'success', started: 1, ended: 2, error: '', notes: [] }],
          durations: [{ run: 'r1', state: 'success', duration: 1 }, { run: 'r2', state: 'success', duration: 2 }] })
      if (kind === 'attempt') bare.receive({ ...asked, outputs: [html], rendered: [], log: 'a log', path: '' })
      if (kind === 'value') bare.receive({ ...asked, outputs: [html] })
      if (kind === 'timeline')
        bare.receive({ kind, run, bars: [{ task: 'step_0', map_index: -1, try_number: 1, state: 'success', started: 1, ended: 2 }] })
      if (kind === 'grid') bare.receive({ kind, runs: [] })
      if (kind === 'layout') bare.receive({ kind: 'picture', view: asked.view, picture: pictures[asked.collapsed ? 1 : 0] })
    }
  }
  // Answer until the page sends no more requests. It sends them after a frame, also in reply to an answer.
  const settle = async () => {
    do {
      answer()
      await bare.painted()
      await new Promise((done) => setTimeout(done))
    } while (bare.sent.length)
  }
  const button = (name) => [...document.querySelectorAll('button')].find((each) => each.textContent.trim() === name)
  const press = async (name) => { button(name)?.click(); await settle() }
  for (let minute = first; minute < first + minutes; minute += 1) {
    const id = `r${minute}`
    const summary = { id, state: 'running', created: minute, started: minute, ended: null, partial: false, error: '' }
    const change = (tasks, summary) => bare.receive({ kind: 'change', number: minute * 1000, run: id, tasks, summary })
    change({}, summary)
    await settle()
    if (minute < watched) {
      change({}, { ...summary, state: 'success', ended: minute + 50 })
      continue
    }
    await press('Show it')
    for (let n = 0; n < tasks; n += 1) {
      change({ [`step_${n}`]: { state: 'running', started: Date.now() / 1000 } }, null)
      if (n % 10 === 0) await bare.painted()
      change({ [`step_${n}`]: { state: 'success', duration: 1, started: minute } }, null)
    }
    document.querySelector('[data-id="step_3"]').dispatchEvent(new MouseEvent('click', { bubbles: true }))
    await settle()
    await press('preview')
    document.querySelector('.nbdag-panel .nbdag-close').click()
    await settle()
    for (const face of ['Timeline', 'Grid', 'Graph']) await press(face)
    if (minute % 5 === 0) {
      bare.show()
      await settle()
      bare.closeView()
    }
    change({}, { ...summary, state: 'success', ended: minute + 50 })
    await settle()
  }
}"""


def test_runs_leak_no_listeners_nodes_or_memory(bare):
    whole = drawn(broad_cells(TASKS))
    bare.begin(whole)

    def runs(first, minutes):
        bare.page.evaluate(RUNS, [first, minutes, KEPT - 5, TASKS, [whole, whole]])
        return bare.settled()

    before = runs(1, KEPT)
    middle = runs(KEPT + 1, MINUTES)
    after = runs(KEPT + MINUTES + 1, MINUTES)
    assert bare.page.locator(".nbdag-runs option").count() == KEPT + 1
    asked = bare.page.evaluate("window.asked")
    assert all(asked[kind] >= 2 * MINUTES + 5 for kind in ("task", "attempt", "value", "timeline", "grid")), asked
    assert after["JSEventListeners"] <= before["JSEventListeners"]
    assert after["Nodes"] <= before["Nodes"] + 20  # the browser's own
    # A leak adds to the heap in both parts; what the browser compiles and keeps, in one of them.
    heaps = [each["JSHeapUsedSize"] for each in (before, middle, after)]
    assert min(heaps[1] - heaps[0], heaps[2] - heaps[1]) <= MINUTES * HEAP, "40 changes and a panel per minute"


def test_a_closed_widget_leaves_no_listeners_or_elements(bare):
    empty = bare.settled()["JSEventListeners"]
    bare.begin(drawn(broad_cells(TASKS)))
    bare.page.evaluate("() => { bare.show(); bare.closeView(); bare.show() }")
    assert bare.metrics()["JSEventListeners"] > empty
    bare.page.evaluate("() => bare.end()")
    assert bare.settled()["JSEventListeners"] == empty
    assert bare.page.evaluate("bare.listeners.size") == 0
    assert bare.page.evaluate("document.querySelectorAll('body *').length") == 1, "only the page's own script is left"
