"""Tasks made by code: they are drawn, run headlessly from the button, and replaced when the code changes."""

from __future__ import annotations

MADE = (
    "%%dag made\nfor n in (1, 2): Python(f'fit_{n}', f'm{n} = sum(X) * {n}')\n"
    "Python('best', 'best = max(m1, m2)\\nprint(\"the best is\", best)')"
)


def test_tasks_made_by_code_are_drawn_and_run_from_the_button(notebook):
    nb = notebook("%%task extract\nX = [1, 2, 3]", MADE)
    nb.open_graph()
    app = nb.page.locator(".nbdag-app").first
    assert app.locator(".nbdag-box").count() == 1, (
        "tasks that are not built are not drawn, and drawing executes no cell"
    )
    nb.run(3)
    nb.box("best", label="follows fit_1, fit_2")
    app.get_by_role("button", name="Run all", exact=True).click()
    nb.box("best", "success")
    nb.box("best").click()
    panel = nb.page.locator(".nbdag-panel").first
    panel.get_by_text("the best is 12").first.wait_for()
    panel.get_by_text("best = max(m1, m2)").first.wait_for()
    panel.get_by_role("button", name="Close", exact=True).click()
    nb.edit(3, "%%dag made\nPython('other', 'm = X')")
    nb.run(3)
    nb.box("other")
    assert nb.page.locator('.nbdag-box[data-id="best"]').count() == 0
    assert nb.errors == []
