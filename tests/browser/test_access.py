"""Accessibility: axe-core's rules in light and dark mode, in every view; narrow and wide pages."""

from __future__ import annotations

import pytest

from .site import serious_violations

PIPELINE = (
    "%dag access",
    "%%task extract --doc 'The rows'\nfrom IPython.display import HTML\nrows = list(range(10))\n"
    "HTML('<table><tr><td>a table</td></tr></table>')",
    "%%task prep --metric total\nX = [row * 2 for row in rows]  # twice\ntotal = sum(X)",
    "%%task validate\nraise ValueError('no good')",
    "%%task deploy --after validate\nprint(X)",
)


@pytest.fixture
def theme(lab):
    """Return a function that sets JupyterLab's theme until the test ends."""
    yield lambda name: lab.execute("apputils:change-theme", theme=f"JupyterLab {name}")
    lab.execute("apputils:change-theme", theme="JupyterLab Light")


def test_axe_finds_no_serious_violation_in_any_view(notebook, theme):
    nb = notebook(*PIPELINE)
    nb.open_graph()
    nb.run(3)
    nb.button("Run all").click()
    nb.box("validate", "failed")
    nb.page.wait_for_selector(".nbdag-shown-run:has-text('failed')")
    check_each_view(nb, "light")
    theme("Dark")
    nb.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    check_each_view(nb, "dark", "color-contrast")


def check_each_view(nb, name, *rules):
    """Check the views of a graph in the theme that is shown; by these rules of axe-core, or by all."""

    def check(view):
        assert serious_violations(nb.page, ".nbdag-app", *rules) == [], (view, name)

    nb.button("Graph").click()
    nb.box("validate")
    check("graph")
    nb.box("validate").click()
    nb.page.wait_for_selector(".nbdag-panel .nbdag-error")
    check("panel of a failed task")
    nb.box("extract").click()
    nb.page.wait_for_selector(".nbdag-panel[aria-label='Task extract'] .nbdag-values")
    check("panel of a task that is done")
    frame = nb.page.frame_locator(".nbdag-try iframe").locator("body")
    frame.locator("td").wait_for()
    # The browser gives a frame of another colour scheme an opaque background.
    nb.page.wait_for_function("() => document.querySelector('.nbdag-try iframe').contentDocument.body.style.color")
    styles = "(e) => { const s = getComputedStyle(e); return [s.color, s.colorScheme] }"
    around = nb.page.locator(".nbdag-try iframe").evaluate(styles)
    assert frame.evaluate(styles) == around
    assert around[1] == name
    nb.page.keyboard.press("Escape")
    nb.button("Timeline").click()
    nb.page.wait_for_selector(".nbdag-bar")
    check("timeline")
    nb.button("Grid").click()
    nb.page.wait_for_selector(".nbdag-grid td svg")
    check("grid")
    nb.button("Metrics").click()
    nb.page.wait_for_selector(".nbdag-metric[aria-label='prep.total'] a[aria-label^='90, run of']")
    check("metrics")


def test_no_control_is_cut_off_on_narrow_or_wide_pages(notebook):
    nb = notebook(*PIPELINE, at="notebook", width=400)
    nb.open_graph()
    nb.box("extract").click()
    for width in (400, 2000):
        nb.page.set_viewport_size({"width": width, "height": 1000})
        nb.page.wait_for_function("(width) => innerWidth === width", arg=width)
        nb.page.wait_for_selector(".nbdag-panel .nbdag-source")
        cut = nb.page.evaluate(
            "() => { const app = document.querySelector('.nbdag-app').getBoundingClientRect();"
            " return [...document.querySelectorAll('.nbdag-bar-top > *, .nbdag-tools > *, .nbdag-actions > *')]"
            ".filter((e) => { const b = e.getBoundingClientRect(); return b.width && (b.right > app.right + 1 || b.left < app.left - 1) })"
            ".map((e) => e.outerHTML.slice(0, 80)) }"
        )
        assert cut == [], width
