"""Pictures of a Dag: what is on them, and that nothing a notebook holds can break out of them."""

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from nbdag import graphs
from nbdag.core.dataflow.graph import dag_from_cells
from nbdag.core.model.dag import Cell, CellKind, Dag, Edge, NameUse, Place, Problem, Task
from nbdag.core.model.states import TaskState
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.graphs import Mark, layout
from nbdag.graphs.labels import edge_label, listing, shorten
from nbdag.graphs.marks import CANCELLED, STATE_STYLES, duration_text
from nbdag.graphs.svg import size

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '</title><script>alert(1)</script><img src=x onerror="alert(\'2\')"> & \\N \\l "quoted" ]]>'


def task(name, cell=0, **options):
    return Task(id=name, cell=cell, options=TaskOptions(**options), code="")


def edge(source, target, *names, declared=False):
    uses = tuple(NameUse(name=name, read_at=Place(cell=4, line=2), written_at=Place(cell=1, line=3)) for name in names)
    return Edge(source=source, target=target, declared=declared, names=uses)


def dag(tasks, edges=(), problems=(), name="churn"):
    found = {one.id: one for one in tasks}
    return Dag(
        id=name, options=DagOptions(), cells=(), tasks=found, edges=tuple(edges), problems=tuple(problems), order=tuple(found)
    )  # fmt: skip


@pytest.fixture
def five():
    return dag(
        [
            task("extract", operator="sql", doc=NASTY),
            task("prep"),
            task("train", map=(("alpha", "alphas"),), retries=2),
            task("validate", check=("accuracy < 0.9",)),
            task("deploy", when="accuracy > 0.5"),
        ],
        [
            edge("extract", "prep", "df"),
            edge("prep", "train", "X", "y"),
            edge("prep", "validate", "X_test", "y_test", "scaler", "encoder", "columns"),
            edge("train", "validate", "model"),
            edge("validate", "deploy", declared=True),
        ],
    )


def big(count):
    tasks = [task(f"orders_of_the_last_quarter_by_region_{n}", n) for n in range(count)]
    edges = [
        edge(tasks[m].id, tasks[n].id, "frame", "customers", "model")
        for n in range(1, count)
        for m in sorted({n - 1 - n * 7 % min(n, 9), n - 1 - n * 5 % min(n, 4)})
    ]
    return dag(tasks, edges)


def texts(picture, what):
    return [node.text for node in ET.fromstring(picture).iter(f"{SVG}text") if node.get("class") == what]


def tooltips(picture):
    return [node.findtext(f"{SVG}title") for node in ET.fromstring(picture).iter(f"{SVG}g") if node.get("class")]


def test_the_picture_has_every_task_with_its_kind_and_every_edge_with_its_names(five):
    picture = graphs.svg(five)
    assert texts(picture, "id") == ["extract", "prep", "train", "validate", "deploy"]
    assert texts(picture, "note") == ["sql", "for each alpha", "conditional"]
    assert sorted(texts(picture, "names")) == ["X, y", "X_test, y_test, +3", "df", "model"]


@pytest.mark.parametrize(
    ("names", "label", "crowded"),
    [
        ((), "", ""),
        (("df",), "df", "df"),
        (("X", "y"), "X, y", "X, +1"),
        (("X", "y", "z"), "X, y, z", "X, +2"),
        (("a", "b", "c", "d", "e"), "a, b, +3", "a, +4"),
        (("df", "df"), "df", "df"),
        (("customers_of_last_year",), "customer…st_year", "custo…year"),
    ],
)
def test_an_edge_label_has_as_many_names_as_fit(names, label, crowded):
    assert edge_label(edge("a", "b", *names)) == label
    assert edge_label(edge("a", "b", *names), crowded=True) == crowded


def test_an_edge_label_that_the_user_gives_replaces_the_names():
    labelled = replace(edge("a", "b", "df"), label="no errors")
    assert edge_label(labelled) == edge_label(labelled, crowded=True) == "no errors"


def test_tooltips_are_complete(five):
    said = "\n".join(
        tooltips(graphs.svg(five, {"train": Mark(state="failed", duration=75, count=3, reason="it broke")}))
    )
    for part in (
        "columns: written in cell 2, line 3; read in cell 5, line 2",
        "validate → deploy, declared",
        "failed, 3 instances, 1 min 15 s: it broke",
        "retries 2",
        "map alpha in alphas",
        "check accuracy < 0.9",
    ):
        assert part in said


def test_a_declared_edge_is_dashed_on_its_own_line(five):
    dashed = [
        group.findtext(f"{SVG}title")
        for group in ET.fromstring(graphs.svg(five)).iter(f"{SVG}g")
        if any("declared" in path.get("class", "") for path in group.iter(f"{SVG}path"))
    ]
    assert dashed == ["validate → deploy, declared"]


def test_a_mapped_task_is_a_stack_with_its_count(five):
    picture = graphs.svg(five, {"train": Mark(count=7)})
    groups = [group for group in ET.fromstring(picture).iter(f"{SVG}g") if "task" in group.get("class", "")]
    assert [len(list(group.iter(f"{SVG}rect"))) for group in groups] == [1, 1, 3, 1, 1]
    assert "× 7 · not run" in texts(picture, "note")


def test_states_differ_in_sign_and_shape_and_not_in_colour_alone():
    assert {*TaskState, graphs.STALE, CANCELLED} == set(STATE_STYLES)
    assert len({how.sign for how in STATE_STYLES.values()}) == len(STATE_STYLES)
    assert len({how.path + how.filled for how in STATE_STYLES.values()}) == len(STATE_STYLES)


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("state", STATE_STYLES)
@pytest.mark.parametrize("paper", ["#ffffff", "#111111", "#15181d"])
def test_each_state_stands_out_from_light_and_from_dark(state, paper):
    assert contrast(STATE_STYLES[state].colour, paper) >= 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_fixed_theme_uses_no_variable_and_fills_its_page(five, theme):
    picture = graphs.svg(five, {"prep": Mark(state="success")}, theme=theme)
    assert "var(" not in picture
    assert '<rect class="page"' in picture


def test_one_picture_serves_light_and_dark(five):
    picture = graphs.svg(five)
    assert "prefers-color-scheme:dark" in picture
    assert "var(--jp-ui-font-color1" in picture
    assert 'class="page"' not in picture


def test_a_picture_describes_itself_to_screen_readers(five):
    root = ET.fromstring(graphs.svg(five))
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == "churn: 5 tasks"
    assert "prep      ← extract (df)" in root.findtext(f"{SVG}desc")
    assert " id=" not in graphs.svg(five), "two pictures on one page must not share ids"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.seen.extend(name for name, _ in attrs if name.startswith("on"))


def test_nothing_of_the_notebook_becomes_markup():
    wicked = dag(
        [task("a", doc=NASTY, operator=NASTY, when=NASTY), task("b", map=((NASTY, NASTY),))],
        [edge("a", "b", NASTY, NASTY + "2")],
        [Problem(code="NB201", severity="error", message=NASTY, hint=NASTY)],
        name=NASTY,
    )
    marks = {"a": Mark(state=NASTY, reason=NASTY)}
    page = Tags()
    page.feed(graphs.html(wicked, marks))
    assert set(page.seen) == {"style", "div", "svg", "title", "desc", "g", "path", "rect", "text", "img", "ul", "li"}
    picture = graphs.svg(wicked, marks)
    assert {node.tag.removeprefix(SVG) for node in ET.fromstring(picture).iter()} == {
        "svg", "title", "desc", "style", "g", "path", "rect", "text",
    }  # fmt: skip
    assert NASTY in "\n".join(tooltips(picture))
    chart = graphs.mermaid(wicked, marks)
    assert "<script" not in chart
    assert "\\" not in chart
    layout.lay_out(graphs.dot(wicked, marks))


@pytest.mark.parametrize("count", [0, 1, 5, 100, 200])
def test_nothing_overlaps_at_any_size(count):
    made = big(count)
    drawn = layout.lay_out(graphs.dot(made, {name: Mark(state="success", duration=12) for name in made.tasks}))
    boxes = [
        (b.x - b.width / 2, b.y - b.height / 2, b.x + b.width / 2, b.y + b.height / 2) for b in drawn.boxes.values()
    ]
    for n, (left, top, right, bottom) in enumerate(boxes):
        for other_left, other_top, other_right, other_bottom in boxes[:n]:
            assert right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
    for curve in drawn.curves.values():
        x, y = curve.label
        assert not any(left < x < right and top < y < bottom for left, top, right, bottom in boxes)
    picture = graphs.svg(made)
    assert len(texts(picture, "id")) == count
    assert all(len(text) <= 28 for text in texts(picture, "id"))
    assert len(drawn.curves) == len(made.edges)


def test_ids_that_differ_at_the_end_still_differ_when_shortened():
    assert len({shorten(name, 28) for name in big(200).tasks}) == 200


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_the_direction_can_be_chosen(five, direction):
    width, height = size(graphs.svg(five, direction=direction))
    assert (width > height) == (direction == "LR")
    assert f"rankdir={direction}" in graphs.render(five, "dot", direction=direction).decode()
    assert graphs.mermaid(five, direction=direction).startswith(f"flowchart {direction}\n")


def test_a_fan_of_a_hundred_tasks_does_not_become_wider_than_a_page():
    tasks = [task("start"), *(task(f"part_{n}") for n in range(100)), task("end")]
    edges = [one for n in range(100) for one in (edge("start", f"part_{n}", "df"), edge(f"part_{n}", "end", f"p{n}"))]
    assert size(graphs.svg(dag(tasks, edges)))[0] < 900


@pytest.mark.parametrize(
    ("format", "start"),
    [("svg", b"<svg "), (".svg", b"<svg "), ("PNG", b"\x89PNG"), ("dot", b"digraph"), ("gv", b"digraph"), ("mmd", b"flowchart"), ("mermaid", b"flowchart")],
)  # fmt: skip
def test_each_format_renders(five, format, start):
    assert graphs.render(five, format).startswith(start)


def test_an_unknown_format_is_rejected_in_one_sentence(five):
    with pytest.raises(graphs.FormatError, match="unknown picture format 'bmp'; expected one of svg, png, dot, mmd"):
        graphs.render(five, "bmp")


def test_a_png_shows_the_words():
    """Two pictures that differ in a task's name alone differ."""
    assert graphs.png(dag([task("aaaa")])) != graphs.png(dag([task("bbbb")]))


@pytest.fixture
def no_fonts(monkeypatch):
    """A machine without fonts."""
    import resvg_py

    draw = resvg_py.svg_to_bytes
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda **options: draw(**options, skip_system_fonts=True))


def test_without_installed_fonts_a_png_uses_matplotlibs(no_fonts):
    pytest.importorskip("matplotlib")
    assert graphs.png(dag([task("aaaa")])) != graphs.png(dag([task("bbbb")]))


def test_without_any_font_a_png_is_rejected_in_one_sentence(five, no_fonts, monkeypatch):
    monkeypatch.setattr(graphs, "find_spec", lambda name: None)
    with pytest.raises(graphs.FontError, match="needs a font, but no font is installed"):
        graphs.png(five)


def test_mermaid_has_edges_states_and_escaped_texts(five):
    assert graphs.mermaid(five, {"prep": Mark(state="failed", selected=True)}).splitlines() == [
        "flowchart TB",
        '  t0("○ extract<br/>sql")',
        '  t1("✗ prep<br/>failed")',
        '  t2[["○ train<br/>for each alpha"]]',
        '  t3("○ validate")',
        '  t4("○ deploy<br/>conditional")',
        '  t0 -->|"df"| t1',
        '  t1 -->|"X, y"| t2',
        '  t1 -->|"X_test, y_test, +3"| t3',
        '  t2 -->|"model"| t3',
        "  t3 -.-> t4",
        "  style t1 stroke:#dc3f43,stroke-width:3px",
    ]


def test_the_listing_has_each_task_with_its_upstream_tasks(five):
    assert listing(
        five, {"extract": Mark(state="success"), "prep": Mark(state="stale", reason="extract ran again")}
    ) == (
        "churn: 5 tasks\n"
        "  ✓ extract   [done]\n"
        "  △ prep      ← extract (df)  [stale: extract ran again]\n"
        "  ○ train     ← prep (X, y)\n"
        "  ○ validate  ← prep (X_test, y_test, +3), train (model)\n"
        "  ○ deploy    ← validate"
    )


def test_without_tasks_the_listing_explains_how_to_create_one():
    assert listing(dag([]), {}) == "churn: 0 tasks. Begin a cell with %%task NAME to create a task."


def test_an_output_shows_the_inline_picture_only_with_its_style_sheet(five):
    """An image replaces the picture if style sheets are taken out of the page."""
    bundle = graphs.bundle(five)
    assert set(bundle) == {"text/html", "image/svg+xml", "text/plain"}
    page = bundle["text/html"]
    assert '<div class="nbdag-live" hidden' in page
    data = re.search(r'<img class="nbdag-still"[^>]* src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(data[1]).decode() == bundle["image/svg+xml"]


def test_problems_are_listed_under_the_picture(five):
    problem = Problem(
        code="NB201", severity="error", message="no <x>", hint="did you mean `X`?", place=Place(cell=3, line=2)
    )
    bundle = graphs.bundle(dag(five.tasks.values(), five.edges, [problem]))
    assert "<li>✗ NB201 cell 4, line 2: no &lt;x&gt;; did you mean `X`?</li>" in bundle["text/html"]
    assert bundle["text/plain"].endswith("\n✗ NB201 cell 4, line 2: no <x>; did you mean `X`?")


@pytest.mark.parametrize(
    ("duration", "said"),
    [(0, "0 ms"), (0.0123, "12 ms"), (0.0996, "0.1 s"), (0.34, "0.3 s"), (9.96, "10 s"), (59.4, "59 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7440, "2 h 4 min")],
)  # fmt: skip
def test_a_duration_is_readable(duration, said):
    assert duration_text(duration) == said


DOT_PROGRAMS = {
    "a dot that fails": "#!/bin/sh\nexit 1\n",
    "a dot without its plugins": '#!/bin/sh\necho "Format: json0 not recognized" >&2\nexit 1\n',
    "a dot that says something else": "#!/bin/sh\necho hello\n",
}


@pytest.mark.parametrize("script", DOT_PROGRAMS.values(), ids=DOT_PROGRAMS)
def test_a_broken_dot_program_is_replaced_by_webassembly(five, script, tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert len(layout.lay_out(graphs.dot(five)).boxes) == 5


def test_a_graph_that_graphviz_rejects_is_an_error_in_one_sentence():
    with pytest.raises(graphs.LayoutError, match="Graphviz failed to lay out the graph"):
        layout.lay_out("digraph { a -> ")


def places(picture):
    """Return the place of each task's name."""
    return [
        (node.text, node.get("x"), node.get("y"))
        for node in ET.fromstring(picture).iter(f"{SVG}text")
        if node.get("class") == "id"
    ]


def test_no_node_moves_when_states_change(five):
    stages = [
        {task: Mark() for task in five.tasks},
        {task: Mark(state="running") for task in five.tasks},
        {task: Mark(state="success", duration=0.01, reason="a long reason, for once") for task in five.tasks},
        {task: Mark(state="stale", duration=61) for task in five.tasks},
        {task: Mark(state="skipped", duration=3600, selected=True) for task in five.tasks},
    ]
    assert len({tuple(places(graphs.svg(five, marks))) for marks in stages}) == 1


def test_a_node_shows_the_state_of_its_task(five):
    marks = {
        "extract": Mark(state="success", duration=0.3),
        "prep": Mark(state="running"),
        "train": Mark(state="failed", duration=75),
        "validate": Mark(state="skipped", duration=0.1),
        "deploy": Mark(),
    }
    assert texts(graphs.svg(five, marks), "note") == [
        "sql · 0.3 s", "running", "for each alpha · 1 min 15 s", "skipped", "conditional · not run",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False])
def test_compiled_graphviz_is_cached_if_the_machine_allows(tmp_path, monkeypatch, keeps):
    folder = tmp_path / "cache"
    if not keeps:
        folder.write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    layout._wasm.cache_clear()
    try:
        assert layout._by_wasm("digraph { a -> b }").lstrip().startswith(b"{")
    finally:
        layout._wasm.cache_clear()
    assert any(folder.rglob("*")) is keeps


def test_a_group_is_drawn_as_one_box():
    cells = [
        ("a", "x = 1"),
        ("eu.load", "y = x"),
        ("eu.clean.drop", "z = y"),
        ("eu.clean.fill", "z += 1"),
        ("last", "print(z, x)"),
    ]
    made = [
        Cell(index=n, kind=CellKind.TASK, source=code, code=code, task=task) for n, (task, code) in enumerate(cells)
    ]
    dag = dag_from_cells(made, dag_id="nb")
    folded = graphs.folded_groups(dag, ["eu", "eu.clean", "us"])
    assert folded == {"eu": ("eu.load", "eu.clean.drop", "eu.clean.fill")}
    drawn = graphs.fold(dag, folded)
    assert list(drawn.tasks) == ["a", "eu", "last"]
    assert [(edge.source, edge.target) for edge in drawn.edges] == [("a", "eu"), ("a", "last"), ("eu", "last")]
    assert "3 tasks: eu.load, eu.clean.drop, eu.clean.fill" in graphs.svg(drawn)
    assert list(graphs.fold(dag, graphs.folded_groups(dag, ["eu.clean"])).tasks) == ["a", "eu.load", "eu.clean", "last"]
