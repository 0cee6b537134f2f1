"""The notebook of a pipeline, cell by cell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Client, write_notebook

CELLS = (
    '%dag churn --schedule "0 6 * * *" --tz Europe/Paris',
    "n = 1",
    "%%params\nalpha: float = 0.5  # in (0, 1): the learning rate\ntoken = 'abc'",
    "%%task first\nx = alpha",
    "%%task second\ny = x + 1",
    "print(y)",
)


@pytest.fixture(scope="module")
def client(serve: Callable[..., Client], tmp_path_factory: pytest.TempPathFactory) -> Client:
    return serve(tmp_path_factory.mktemp("project"))


@pytest.fixture
def churn(client: Client) -> str:
    """A deployed pipeline."""
    write_notebook(client.home.root.parent, *CELLS)
    assert client.post("dags", {"path": "churn.ipynb"}).status == 201
    return "churn"


def test_the_notebook_is_listed_cell_by_cell(client: Client, churn: str) -> None:
    found = client.get("dags/churn/notebook").json
    cells = [(each["kind"], each["tasks"], each["untagged"]) for each in found["cells"]]
    assert cells == [
        ("control", [], False),
        ("setup", [], False),
        ("parameters", [], False),
        ("task", ["first"], False),
        ("task", ["second"], False),
        ("scratch", [], True),
    ]
    assert "".join(text for _, text in found["cells"][3]["source"][1]) == "x = alpha"
    digest = client.get("dags/churn").json["digest"]
    assert client.get("dags/churn/notebook", version=digest).json == found
    assert client.get("dags/churn/notebook", version="f" * 64).status == 404
