import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from nbdag.core.cells.cells import RawCell, classify
from nbdag.core.model.dag import CellKind
from nbdag.core.model.problems import TABLE

LINES = [
    "%%task a",
    "%%task b --retries 2",
    "%task c --after a \\",
    "  --cache",
    "%%setup",
    "%%params",
    "%%skip",
    "%dag x --schedule @daily",
    "%dag",
    "    %dag",
    "%edges a >> [b, c]",
    "%nbdag check",
    "%load_ext nbdag",
    "%%time",
    "%%taks a",
    "%%dag",
    "%%edges a >> b",
    "%%task a --operator bash",
    "!echo don't",
    "x = 1",
    "if x:",
    '"""',
    "(",
    "# a remark",
    "",
    "\\",
    "\t",
    "x\r",
]
sources = st.lists(st.sampled_from(LINES) | st.text(max_size=10), max_size=6).map("\n".join)
raw_cells = st.builds(
    RawCell,
    sources,
    st.sampled_from(["code"] * 4 + ["markdown", "raw"]),
    st.sampled_from([(), (), ("parameters",), ("injected-parameters", "x")]),
)


@pytest.mark.slow
@given(st.lists(raw_cells, max_size=5))
def test_any_cell_is_classified_and_keeps_its_line_numbers(cells):
    found = classify(cells)
    assert len(found.cells) == len(cells)
    for raw, cell in zip(cells, found.cells, strict=True):
        assert cell.source == raw.source
        if raw.type == "code":
            assert cell.code.count("\n") == raw.source.count("\n")
        assert (cell.kind is CellKind.PROSE) == (raw.type != "code")
        assert cell.kind is CellKind.TASK or cell.task is None
    for problem in found.problems:
        assert problem.code in TABLE
        assert problem.place is None or problem.place.line <= cells[problem.place.cell].source.count("\n") + 1
    for index in found.task_options:
        assert found.cells[index].kind is CellKind.TASK


def test_a_header_with_an_odd_indent_below_it_is_classified():
    (cell,) = classify([RawCell("    %dag\n  --cache")]).cells
    assert cell.source == "    %dag\n  --cache"


def test_ipython_accepts_a_cell_magic_below_a_header():
    for source in ("%%task a\n%%time\nx = 1", "%%task a \\\n --cache\n\n# a remark\n%%time\nx = 1"):
        code = classify([RawCell(source)]).cells[0].code
        assert TransformerManager().transform_cell(code).startswith("get_ipython().run_cell_magic('time', '', 'x = 1")


def test_text_inside_a_string_is_not_a_magic():
    source = 'x = """\n%%task b\n%edges a >> b\n%dag y\n"""'
    found = classify([RawCell("%%task a"), RawCell(f"%%task c\n{source}")])
    assert (found.problems, found.declared, found.dag) == ((), (), None)
    assert found.cells[1].code == f"# %%task c\n{source}"
