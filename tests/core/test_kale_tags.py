"""The cells of a Kale notebook are read as Kale reads them; tags without an effect are reported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.core.model.dag import CellKind, Dag
from nbdag.notebooks import read_cells, read_text

FOREIGN = Path(__file__).parents[1] / "migrate" / "foreign"
KALE = json.loads((FOREIGN / "kale.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=["step:", "block:"])  # older versions of Kale write block:
def dag(request: pytest.FixtureRequest) -> Dag:
    return read_text(
        (FOREIGN / "kale.ipynb").read_text(encoding="utf-8").replace("step:", request.param), name="k.ipynb"
    )


def code_lines(text: str) -> list[str]:
    shown = re.sub(r"^display\((.*)\)$", r"\1", text, flags=re.MULTILINE)  # the value of a cell that others follow
    return [line for line in shown.split("\n") if line.strip() and not line.startswith("# %")]


def test_the_steps_have_the_code_that_kale_gives_them(dag: Dag) -> None:
    assert not dag.errors
    setup = [cell.code for cell in dag.cells if cell.kind is CellKind.SETUP]
    for name, sources in KALE["steps"].items():
        own = [each for each in sources if "_kale_kfp_metrics" not in each]
        assert code_lines("\n".join([*setup, dag.cells[dag.tasks[name].cell].code])) == code_lines("\n".join(own))


def test_the_edges_are_those_of_kale_and_of_the_metrics(dag: Dag) -> None:
    metrics = [["join", "pipeline-metrics"]]
    assert sorted([each.source, each.target] for each in dag.edges) == sorted(KALE["edges"] + metrics)
    inputs = {name: sorted(each.name for each in dag.tasks[name].inputs) for name in KALE["steps"]}
    assert inputs == KALE["ins"]


def test_name_description_and_parameters_are_those_of_kale(dag: Dag) -> None:
    assert dag.id == KALE["name"]
    assert dag.options.description == 'A pipe "quoted"'
    assert dag.parameters == {name: str(value) for name, value in KALE["parameters"].items()}
    assert [name for name, task in dag.tasks.items() if task.options.cache] == ["right"]


def test_each_tag_and_setting_without_an_effect_is_reported_with_its_place(dag: Dag) -> None:
    found = {
        (re.search(r"(?:tag |setting )?(\S+) has no", each.message) or [""])[1]: each.place for each in dag.problems
    }
    assert {name: place and place.cell for name, place in found.items()} == {
        "label:access:true": None,
        "base_image": None,
        "limit:cpu:2": 6,
        "label:team:ml": 6,
        "annotation:x/y:z": 11,
        "limit:nvidia.com/gpu:1": 12,
    }
    limits = {f"limit:{key}:{value}" for each in KALE["limits"].values() for key, value in each.items()}
    assert limits <= set(found)


def test_lines_of_a_step_have_the_places_of_the_cells_that_were_joined(dag: Dag) -> None:
    cell = dag.cells[dag.tasks["load"].cell]
    for number, line in enumerate(cell.code.split("\n"), 1):
        place = cell.at(number)
        source = dag.cells[place.cell].source.split("\n")[place.line - 1]
        assert not line or line.startswith("# %") or source in line
    assert [each.index for each in dag.cells_of("load")] == [6, 7, 9]


def cells(*made: tuple[str, str]) -> list[RawCell]:
    return [RawCell(source, tags=tuple(tags.split())) for tags, source in made]


PROBLEMS = [
    ((("block:a block:b", "x = 1"),), "cell 1, line 1", "a cell belongs to one step, but the tags name a and b"),
    ((("block:a", "x = 1"), ("prev:a", "y = x")), "cell 2, line 1", "the tag prev:a is on a cell without a step"),
    ((("block:a", "x = 1"), ("blok:b", "y = x")), "cell 2, line 1", "unknown tag blok:b"),
    ((("block:a b", "x = 1"), ("block:2", "y = x")), "cell 2, line 1", "a step cannot be named '2'"),
    ((("block:a", "x = 1"), ("", "%%bash\nls")), "cell 2, line 1", "%%bash is in a cell that continues a"),
    ((("block:a", "x = 1"), ("notebook:b", "")), "cell 2, line 1", "the tag notebook:b refers to another notebook"),
    ((("block:a prev:zz", "x = 1"),), "cell 1, line 1", "unknown task zz"),
    ((("block:a", "x = 1"), ("", "y = 1\n\nq = zz")), "cell 2, line 3", "no cell above sets zz"),
    ((("", "zz = 1"), ("block:a", "x = zz")), "cell 2, line 1", "only cell 1 sets zz, and it is a scratch cell"),
]


@pytest.mark.parametrize(("made", "place", "message"), PROBLEMS)
def test_a_mistake_is_reported_once_at_its_cell(made: tuple[tuple[str, str], ...], place: str, message: str) -> None:
    (found,) = read_cells(cells(*made), name="k").errors
    assert (str(found.place), found.message[: len(message)]) == (place, message)


@pytest.mark.parametrize(
    "made",
    [
        [("", "%%task a\nx = 1"), ("skip", "y = x")],
        [("block:a", "%%task b\nx = 1"), ("imports", "y = 2")],
        [("parameters", "n = 1"), ("topic:a", "%%task b\nx = n")],
    ],
)
def test_other_notebooks_are_read_without_kales_tags(made: list[tuple[str, str]]) -> None:
    tagged, plain = (
        read_cells(each, name="k") for each in (cells(*made), cells(*[("", source) for _, source in made]))
    )
    assert [cell.origin for cell in tagged.cells] == [()] * len(made)
    assert list(tagged.tasks) == list(plain.tasks)


def test_a_header_of_nbdag_wins_over_the_tags_of_its_cell() -> None:
    dag = read_cells(cells(("block:a", "x = 1"), ("block:b", "%%task c --retries 2\ny = x"), ("", "y")), name="k")
    assert list(dag.tasks) == ["a", "c"]
    assert [cell.kind.value for cell in dag.cells] == ["task", "task", "scratch"]


def test_a_step_that_is_tagged_twice_is_one_task() -> None:
    dag = read_cells(cells(("block:a", "x = 1"), ("block:b prev:a", "y = x"), ("block:a", "x += 1")), name="k")
    assert list(dag.tasks) == ["a", "b"]
    assert [str(each.place) for each in dag.problems] == []
    assert [cell.index for cell in dag.cells_of("a")] == [0, 2]
