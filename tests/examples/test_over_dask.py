"""The examples give the same values on Dask, over a shared folder and over S3, as on this machine.

An example takes up to a minute, so only one runs over S3 by default; NBDAG_ALL_OVER_DASK=1 runs all of them, both ways.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import distributed
import nbformat
import pytest
from example_results import PARAMETERS, RESULTS, RunExample, printed, with_results
from s3 import s3_server

import nbdag
from nbdag.executors import Choice
from nbdag.home import Home

ALL = bool(os.environ.get("NBDAG_ALL_OVER_DASK"))

pytestmark = [
    pytest.mark.slow,
    # s3fs and Dask leave sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def address(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a Dask cluster whose workers can read and write S3."""
    with (
        s3_server(tmp_path_factory.mktemp("s3")),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("NBDAG_CACHE", str(tmp_path_factory.mktemp("cache")))
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made:
            yield made.scheduler_address


@pytest.mark.parametrize("storage", ["folder", "s3"] if ALL else ["s3"])
@pytest.mark.parametrize("name", RESULTS if ALL else ["validation_gate"])
def test_an_example_has_the_same_results_over_dask(
    name: str, storage: str, address: str, run_example: RunExample, tmp_path: Path
) -> None:
    expected = run_example(name, True).results
    url = str(tmp_path / "shared") if storage == "folder" else f"s3://data/{tmp_path.name}"
    home, executor = Home(tmp_path / "far", storage=url), Choice("dask", {"address": address})
    path = with_results(name, tmp_path / "there")
    run = nbdag.run(path, parameters=PARAMETERS.get(name, {}), home=home, executor=executor, jobs=2)
    assert run.state == "success", run.error
    assert printed(nbformat.read(run.notebook, as_version=4).cells[-1].outputs) == expected
