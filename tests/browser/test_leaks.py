"""A widget that stays open for long leaks nothing."""

from __future__ import annotations

import pytest

from .bare import Bare, broad_cells, drawn

TASKS = 40
# Each minute a run begins, its tasks change, every view shows it, and it ends. `answer` acts as the kernel.
RUNS = """async ([first, minutes, tasks, pictures]) => {
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


@pytest.fixture
def bare(browser):
    page = Bare(browser)
    yield page
    page.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("minutes", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_minutes_of_runs_leak_no_listeners_nodes_or_memory(bare, minutes):
    whole = drawn(broad_cells(TASKS))
    bare.begin(whole)

    def runs(first, minutes):
        bare.page.evaluate(RUNS, [first, minutes, TASKS, [whole, whole]])
        return bare.settled()

    before = runs(1, 25)  # more runs than are kept
    after = runs(26, minutes)
    assert bare.page.locator(".nbdag-runs option").count() == 21
    asked = bare.page.evaluate("window.asked")
    assert all(asked[kind] >= 20 + minutes for kind in ("task", "attempt", "value", "timeline", "grid")), asked
    assert after["JSEventListeners"] <= before["JSEventListeners"]
    assert after["Nodes"] <= before["Nodes"] + 20  # the browser's own
    assert after["JSHeapUsedSize"] <= before["JSHeapUsedSize"] + 500_000, "80 changes and a panel per minute"


def test_a_closed_widget_leaves_no_listeners_or_elements(bare):
    empty = bare.metrics()["JSEventListeners"]
    bare.begin(drawn(broad_cells(TASKS)))
    bare.page.evaluate("() => { bare.show(); bare.closeView(); bare.show() }")
    assert bare.metrics()["JSEventListeners"] > empty
    bare.page.evaluate("() => bare.end()")
    assert bare.settled()["JSEventListeners"] == empty
    assert bare.page.evaluate("bare.listeners.size") == 0
    assert bare.page.evaluate("document.querySelectorAll('body *').length") == 1, "only the page's own script is left"
