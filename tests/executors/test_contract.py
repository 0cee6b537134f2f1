"""The promises of every executor, kept alike by the local one, on Dask, and by the in-process fake.

With NBDAG_ALL_OVER_DASK=1, Dask keeps them with files in S3, too.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest
from patience import LONG
from s3 import s3_server

from nbdag.core.model.dag import Definition, Place, Task
from nbdag.core.model.job import Job, Key, Result, StoredInput
from nbdag.core.model.states import TaskState
from nbdag.core.options.options import TaskOptions
from nbdag.executors import Choice, Executor, create
from nbdag.testing import InProcessExecutor
from nbdag.values import ValueStore

# Dask leaves sockets to the garbage collector when a connection or a cluster is closed early.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

SUCCESS, FAILED, SKIPPED = TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED
# Ends neither by itself nor in a single call, which the fake could not interrupt.
FOREVER = (
    "import time\nfrom pathlib import Path\nPath(f'{dag_run.task_id}.begun').touch()\nwhile True: time.sleep(0.01)"
)


class Contract:
    """An executor with two slots, and jobs in a folder of their own."""

    def __init__(self, executor: Executor, folder: Path, storage: str = "") -> None:
        self.executor = executor
        self.folder = folder
        self.storage = storage
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        executor.start(self.results.put)

    def job(
        self,
        name: str,
        code: str,
        *,
        options: dict[str, Any] | None = None,
        exports: tuple[str, ...] = (),
        **fields: Any,
    ) -> Job:
        definitions = fields.pop("definitions", ())
        task = Task(
            id=name,
            cell=0,
            options=TaskOptions(**(options or {})),
            code=code.replace("Path(f'", f"Path(f'{self.folder}/"),
            exports=tuple((each,) for each in exports),
            definitions=tuple(Definition(name="", source=each, place=Place(cell=1, line=1)) for each in definitions),
        )
        return Job(
            key=Key(dag="d", run="r", task=name),
            task=task,
            path=str(self.folder / "tasks" / name / "1.ipynb"),
            values=str(self.folder / "values"),
            cwd=str(self.folder),
            kernel_name="python3",
            storage=self.storage,
            context={"dag_id": "d", "run_id": "r", "task_id": name, "try_number": 1, "params": {}},
            **fields,
        )

    def result(self) -> Result:
        return self.results.get(timeout=LONG)

    def run(self, name: str, code: str, **said: Any) -> Result:
        self.executor.submit(self.job(name, code, **said))
        return self.result()

    def value(self, result: Result, name: str) -> Any:
        (digest,) = {output.digest for output in result.outputs if output.name == name}
        origin = f"{self.storage}/values" if self.storage else ""
        return ValueStore(str(self.folder / "values"), origin).load(digest)[name]

    def wait_for(self, *names: str) -> None:
        """Wait until the code of these tasks runs."""
        deadline = time.monotonic() + LONG
        while not all((self.folder / f"{name}.begun").exists() for name in names):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with s3_server(tmp_path_factory.mktemp("s3")):
        yield


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, runtime: Path) -> Iterator[str]:
    """Yield the address of a Dask cluster of two workers, which the tests of a module share."""
    if "dask-s3" in MAKERS:
        request.getfixturevalue("s3")  # the workers get its address from the environment
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made:
        yield made.scheduler_address


MAKERS: dict[str, Callable[[pytest.FixtureRequest], Executor]] = {
    "local": lambda request: create("local", 2),
    "dask": lambda request: create(Choice("dask", {"address": request.getfixturevalue("cluster")}), 2),
    "in-process": lambda request: InProcessExecutor(2),
}
if os.environ.get("NBDAG_ALL_OVER_DASK"):  # takes two minutes
    MAKERS["dask-s3"] = MAKERS["dask"]


@pytest.fixture(params=MAKERS)
def contract(request: pytest.FixtureRequest, tmp_path: Path, runtime: Path) -> Iterator[Contract]:
    storage = ""
    if request.param == "dask-s3":
        request.getfixturevalue("s3")
        storage = f"s3://data/{tmp_path.name}"
    executor = MAKERS[request.param](request)
    yield Contract(executor, tmp_path, storage)
    executor.stop()


@pytest.mark.slow
def test_every_job_has_one_result(contract: Contract) -> None:
    states = {"a": SUCCESS, "b": FAILED, "c": SUCCESS, "d": SKIPPED}
    codes = {SUCCESS: "x = 1", FAILED: "1 / 0", SKIPPED: "import nbdag.errors\nraise nbdag.errors.Skip('why')"}
    for name, state in states.items():
        contract.executor.submit(contract.job(name, codes[state]))
    results = [contract.result() for _ in states]
    assert {result.key.task: result.state for result in results} == states
    assert all(result.started <= result.ended for result in results)
    contract.executor.stop()
    assert contract.results.empty()


def test_values_pass_from_one_attempt_to_the_next(contract: Contract) -> None:
    one = contract.run("one", "x = [1, 2]", exports=("x",))
    given = StoredInput(name="x", source="one", digests=(one.outputs[0].digest,))
    two = contract.run("two", "x.append(3)\ny = sum(x)", exports=("y",), inputs=(given,))
    assert (contract.value(one, "x"), contract.value(two, "y")) == ([1, 2], 6)
    assert [(output.name, output.type, output.summary) for output in two.outputs] == [("y", "int", "6")]


def test_code_runs_in_the_order_parameters_setup_definitions_inputs_cell(contract: Contract) -> None:
    one = contract.run("one", "b = 'input'", exports=("b",))
    result = contract.run(
        "two",
        "r = (a, b, f(), seen, dag_run.task_id)",
        exports=("r",),
        parameter_cells=("a = 'default'",),
        parameters={"a": "injected"},
        setup_cells=("b = 'setup'; seen = a",),
        definitions=("def f():\n    return a + b",),
        inputs=(StoredInput(name="b", source="one", digests=(one.outputs[0].digest,)),),
    )
    assert contract.value(result, "r") == ("injected", "input", "injectedinput", "injected", "two")


@pytest.mark.parametrize(
    ("code", "options", "expected"),
    [
        ("1 / 0", {}, (FAILED, "ZeroDivisionError: division by zero", False, False)),
        ("import nbdag.errors\nraise nbdag.errors.Fail('bad')", {}, (FAILED, "bad", True, False)),
        ("import nbdag.errors\nraise nbdag.errors.Skip('none')", {}, (SKIPPED, "none", False, False)),
        ("a = 0.5", {"check": ("a > 0.9",)}, (FAILED, "--check a > 0.9 is false, with a = 0.5", True, False)),
        ("a = 0.5", {"check": ("a < 0.9",)}, (SUCCESS, None, False, False)),
        ("1 / 0", {"when": "2 < 1"}, (SKIPPED, "--when 2 < 1 is false", False, False)),
        ("1 / 0", {"when": "2 < 1", "short_circuit": True}, (SKIPPED, "--when 2 < 1 is false", False, True)),
    ],
)
def test_an_outcome_carries_its_state_its_error_and_its_flags(
    contract: Contract, code: str, options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    result = contract.run("task", code, options=options)
    assert (result.state, result.error, result.final, result.short_circuit) == expected
    assert ("ZeroDivisionError" in (result.traceback or "")) is (expected[1] == "ZeroDivisionError: division by zero")


def test_the_last_expression_of_a_cell_decides_what_follows(contract: Contract) -> None:
    rows: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
        ("x = 1\n'a' if x else 'b'", {"branch": True}, (SUCCESS, None, ("a",), False)),
        ("['b', 'eu', 'b']", {"branch": True}, (SUCCESS, None, ("b", "eu"), False)),
        ("x = 1", {"branch": True}, (SUCCESS, None, (), False)),
        ("'aa'", {"branch": True}, (FAILED, "chose 'aa', which does not follow it directly; did you mean a?", None, False)),
        ("1", {"branch": True}, (FAILED, "is 1; expected the name of a task or group, a list of names, or None", None, False)),
        ("x = 0\nx", {"short_circuit": True}, (SUCCESS, None, None, True)),
        ("[0]", {"short_circuit": True}, (SUCCESS, None, None, False)),
        ("0", {"short_circuit": True, "when": "True"}, (SUCCESS, None, None, False)),
    ]  # fmt: skip
    for number, (code, options, (state, error, chosen, short)) in enumerate(rows):
        result = contract.run(f"t{number}", code, options=options, choices=("a", "b", "eu"))
        assert (result.state, result.chosen, result.short_circuit) == (state, chosen, short), code
        assert (result.error is None) if error is None else (error in (result.error or "") and result.final), code


@pytest.mark.slow
def test_a_failure_carries_the_kinds_of_its_error_and_whether_a_retry_is_wanted(contract: Contract) -> None:
    on = {"retries": 1, "retry_on": ("OSError", "json.JSONDecodeError")}
    refused = contract.run("a", "raise ConnectionRefusedError('no')", options={**on, "retry_if": "'no' in str(error)"})
    assert refused.kinds[:3] == (
        "builtins.ConnectionRefusedError", "builtins.ConnectionError", "builtins.OSError"
    )  # fmt: skip
    assert refused.retry is True
    decode = contract.run("b", "import json\njson.loads('{')", options={**on, "retry_if": "False"})
    assert "json.JSONDecodeError" in decode.kinds
    assert "json.decoder.JSONDecodeError" in decode.kinds
    assert decode.retry is False
    late = contract.run("c", FOREVER, options={**on, "timeout": 3.0})
    assert (late.kinds, late.retry) == (("TimeoutError",), None)


def test_an_expansion_stores_the_elements_and_an_instance_receives_its_own(contract: Contract) -> None:
    options = {"map": (("a", "[1, 2]"), ("b", "'pq'"))}
    expansion = contract.run("task", "never = 1 / 0", options=options, expand=True)
    assert (expansion.state, expansion.length) == (SUCCESS, 4)
    result = contract.run("task", "r = (a, b)", options=options, element=dict(expansion.elements[1]), exports=("r",))
    assert contract.value(result, "r") == (1, "q")
    assert contract.run("pairs", "", options={**options, "in_step": "lead"}, expand=True).length == 2


def test_a_timeout_terminates_the_attempt(contract: Contract) -> None:
    result = contract.run("task", FOREVER, options={"timeout": 3.0})
    assert (result.state, result.error, result.final) == (FAILED, "timed out after 3 s", False)


def test_cancel_terminates_one_attempt_and_ignores_unknown_and_ended_ones(contract: Contract) -> None:
    assert contract.run("over", "x = 1").state is SUCCESS
    running = contract.job("running", FOREVER)
    contract.executor.submit(running)
    contract.wait_for("running")
    for key in (contract.job("over", "").key, contract.job("unknown", "").key, running.key):
        contract.executor.cancel(key)
    result = contract.result()
    assert (result.key, result.state, result.error) == (running.key, FAILED, "cancelled")
    contract.executor.stop()
    assert contract.results.empty()


def test_stop_terminates_running_and_waiting_attempts(contract: Contract) -> None:
    for name in ("a", "b", "c"):  # one more than there are slots
        contract.executor.submit(contract.job(name, FOREVER))
    contract.executor.stop()
    results = [contract.result() for _ in range(3)]
    assert {(result.key.task, result.state, result.error) for result in results} == {
        (name, FAILED, "cancelled") for name in ("a", "b", "c")
    }
    assert contract.results.empty()


def test_at_most_as_many_attempts_run_at_once_as_there_are_slots(contract: Contract) -> None:
    jobs = [contract.job(name, FOREVER) for name in ("a", "b", "c")]
    for job in jobs[:2]:
        contract.executor.submit(job)
    contract.wait_for("a", "b")
    contract.executor.submit(jobs[2])
    assert contract.executor.slots == 2
    assert not (contract.folder / "c.begun").exists()
    contract.executor.cancel(jobs[0].key)
    assert contract.result().key == jobs[0].key
    contract.wait_for("c")


def test_an_attempt_writes_its_text_log_beside_its_notebook(contract: Contract) -> None:
    job = contract.job("task", "print('hello')")
    contract.executor.submit(job)
    contract.result()
    assert Path(job.path).with_suffix(".log").exists()


def test_an_attempt_without_processes_has_no_leftovers(contract: Contract) -> None:
    job = contract.job("task", "x = 1")
    contract.executor.submit(job)
    assert contract.result().state is SUCCESS
    contract.executor.terminate_leftovers(Path(job.path), "0abc")
    contract.executor.terminate_leftovers(contract.folder / "never" / "1.ipynb", "0abd")
