"""Runs whose files are in S3: moto's server, hosts without common folders, and a server that is busy or refuses."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import distributed
import nbformat
import psutil
import pytest
from patience import LONG, until
from s3 import SECRET, Gateway, s3_server

from nbdag import runs
from nbdag.core.model.dag import Task
from nbdag.core.model.job import Job, Key, Result
from nbdag.core.model.states import RUN_FINISHED, RunState, TaskState
from nbdag.core.options.options import TaskOptions
from nbdag.executors import Choice, create
from nbdag.home import Home
from nbdag.runs.execution.daemon import Daemon
from nbdag.runs.queries.files.report_page import report_notebook
from nbdag.storage import UnwritableStorageError, files_at

# s3fs and Dask leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

IS_ROOT = os.geteuid() == 0 and shutil.which("unshare") is not None
CELLS = (
    "%%task load\nimport numpy as np\nfrom shop import COUNT\nsales = np.arange(COUNT)\n"
    "from pathlib import Path\nprint('loaded', sorted(path.name for path in Path('.').glob('*.*')))",
    "%%task total --map part=[1,2]\nsums = float(sales.sum()) * part",
    "%%task show --out result\nprint(sorted(sums))\nresult = max(sums)",
)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with s3_server(tmp_path_factory.mktemp("s3")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def cluster(s3: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a cluster of one worker; if this process may, the worker does not see the tests' folders."""
    hidden = tmp_path_factory.getbasetemp()
    words = [sys.executable, "-W", "ignore", "-m", "distributed.cli.dask_worker"]
    if IS_ROOT:
        words = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh", *words]
    with (
        tempfile.TemporaryDirectory(prefix="nbdag-far-", ignore_cleanup_errors=True) as folder,
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as made,
    ):
        environment = {**os.environ, "NBDAG_CACHE": f"{folder}/cache", "NBDAG_RUNTIME_DIR": f"{folder}/run"}
        (Path(folder) / "run").mkdir(mode=0o700)
        words += [made.scheduler_address, "--nthreads", "2", "--no-nanny", "--no-dashboard"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(words, env=environment, cwd=folder, stdout=quiet, stderr=quiet) as worker:
            try:
                until(lambda: made.scheduler_info["workers"], "the Dask worker")
                yield made.scheduler_address
            finally:
                worker.terminate()
                worker.wait()
                for process in psutil.process_iter(["cmdline"]):  # its fork servers
                    if any(folder in word for word in process.info["cmdline"] or ()):
                        process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".nbdag", storage=f"s3://data/{tmp_path.name}")


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    (tmp_path / "sales").mkdir()
    (tmp_path / "sales" / "shop.py").write_text("COUNT = 100_000.0")
    (tmp_path / "sales" / ".env").write_text("NBDAG_SECRET_WORD=hidden")
    path = tmp_path / "sales" / "sales.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS]), path)
    return path


@pytest.fixture
def other_host(home: Home, tmp_path: Path) -> Callable[[], Home]:
    """Return the home of another host, which has the database and no file."""

    def copy() -> Home:
        root = tmp_path / "other" / ".nbdag"
        root.mkdir(parents=True)
        with sqlite3.connect(home.database) as source, sqlite3.connect(root / "nbdag.db") as target:
            source.backup(target)
        return replace(home, root=root)

    return copy


def values(home: Home, run: runs.Run) -> list[object]:
    return [runs.load(run.dag, run=run.id, task="show", home=home)["result"]]


@pytest.mark.slow
def test_a_run_on_dask_exchanges_all_files_by_s3(
    s3: Gateway, cluster: str, home: Home, notebook: Path, other_host: Callable[[], Home]
) -> None:
    run = runs.run(notebook, executor=Choice("dask", {"address": cluster}), home=home)
    assert run.state is RunState.SUCCESS, run.error
    assert not home.values.exists()  # the values moved between the worker and S3 only
    assert "[4999950000.0, 9999900000.0]" in runs.logs(run, "show", home=home).read_text()
    if IS_ROOT:  # the host has a copy of the notebook's folder, without hidden files
        assert "loaded ['sales.ipynb', 'shop.py']\n" in runs.logs(run, "load", home=home).read_text()
    assert {task.host for task in run} == {socket.gethostname()}
    loaded = run["load"].outputs[0].digest
    assert s3.gets(loaded) == 0  # the host that has stored a value does not download it

    there = other_host()
    assert values(there, run) == [9999900000.0]
    assert "loaded" in runs.logs(run.id, "load", home=there).read_text()
    assert b"9999900000.0" in report_notebook(run.id, home=there)
    assert [each.number for each in runs.list_versions("sales", home=there)] == [1]
    resumed = runs.run(runs.pinned_notebook("sales", home=there).path, only=["show"], home=there)
    assert resumed.state is RunState.SUCCESS  # with values of the earlier run, in kernels of the other host

    for folder in (home.root, there.root):
        for path in folder.rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes()


@pytest.mark.slow
def test_the_log_of_a_running_attempt_arrives_from_its_host(cluster: str, home: Home, tmp_path: Path) -> None:
    job = Job(
        key=Key(dag="d", run="r", task="waits"),
        task=Task(
            id="waits", cell=0, options=TaskOptions(), code="import time\nprint('begun')\nwhile True: time.sleep(0.05)"
        ),
        path=str(home.attempt(Key(dag="d", run="r", task="waits"))),
        values=str(home.values),
        storage=str(home.remote),
        cwd=str(tmp_path),
        kernel_name="python3",
        mark="a" * 15,
    )
    log = Path(job.path).with_suffix(".log")
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    executor = create(Choice("dask", {"address": cluster}), 1)
    try:
        executor.start(results.put)
        executor.submit(job)
        until(lambda: log.exists() and log.read_text() == "begun\n", "the log")
        executor.cancel(job.key)
        result = results.get(timeout=LONG)
    finally:
        executor.stop()
    assert (result.error, result.host) == ("cancelled", socket.gethostname())
    assert log.read_text() == "begun\ncancelled\n"  # the complete log, from the storage
    assert Path(job.path).exists()


@pytest.mark.slow
def test_a_host_executes_a_run_that_another_host_of_the_same_database_has_triggered(
    s3: Gateway, notebook: Path, tmp_path: Path, postgres_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_database()
    one, two = (Home(tmp_path / name, url, f"s3://data/{tmp_path.name}") for name in ("one", "two"))
    runs.deploy(notebook, home=one)
    made = runs.trigger("sales", home=one)
    daemons: queue.SimpleQueue[Daemon] = queue.SimpleQueue()
    serve = Daemon.serve
    monkeypatch.setattr(Daemon, "serve", lambda self: (daemons.put(self), serve(self))[1])
    thread = threading.Thread(target=lambda: runs.schedule(jobs=2, home=two))
    thread.start()
    daemon = daemons.get(timeout=LONG)
    try:
        until(lambda: runs.find_run(made.id, home=one).state in RUN_FINISHED, "the run")
    finally:
        daemon.ask_to_end()
        thread.join(LONG)
    run = runs.find_run(made.id, home=one)
    assert run.state is RunState.SUCCESS, run.error
    assert values(one, run) == [9999900000.0]
    assert "loaded" in runs.logs(run, "load", home=one).read_text()
    assert b"9999900000.0" in report_notebook(run.id, home=one)


@pytest.mark.slow
def test_a_run_survives_a_busy_server(s3: Gateway, home: Home, notebook: Path) -> None:
    s3.busy = 5
    run = runs.run(notebook, home=home)
    assert (run.state, s3.busy) == (RunState.SUCCESS, 0)
    assert values(home, run) == [9999900000.0]


def test_a_bucket_that_is_missing_or_read_only_ends_the_run_before_a_task_starts(
    s3: Gateway, home: Home, notebook: Path, tmp_path: Path
) -> None:
    missing = replace(home, storage="s3://no-such-bucket/nbdag")
    with pytest.raises(UnwritableStorageError, match=r"s3://no-such-bucket/nbdag \(the bucket or folder does not"):
        runs.run(notebook, home=missing)
    pinned = tmp_path / "pinned.ipynb"
    cells = [nbformat.v4.new_code_cell(each) for each in ("%dag --with pinned.ipynb", "%%task a\n1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), pinned)
    with pytest.raises(UnwritableStorageError, match=r"s3://no-such-bucket/nbdag \(the bucket or folder does not"):
        runs.export_airflow(pinned, storage="s3://no-such-bucket/nbdag")
    s3.forbidden = True
    try:
        with pytest.raises(UnwritableStorageError, match=r"cannot write to the storage s3://data/.*Access Denied") as e:
            runs.run(notebook, home=home)
    finally:
        s3.forbidden = False
    assert SECRET not in str(e.value)
    assert runs.list_runs(home=home) == []


def test_a_dead_server_ends_the_run_before_a_task_starts(
    s3: Gateway, home: Home, notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbdag.storage.remote.CHECK_TIMEOUT", 0.5)
    files_at.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(UnwritableStorageError, match=r"127\.0\.0\.1:9"):
            runs.run(notebook, home=home)
    finally:
        files_at.cache_clear()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_gc_and_db_check_work_on_the_storage(s3: Gateway, home: Home, notebook: Path) -> None:
    run = runs.run(notebook, home=home)
    stored = files_at(str(home.remote))
    assert runs.check_db(home, read_values=True).damaged_values == ()
    lost, damaged = run["load"].outputs[0].digest, run["show"].outputs[0].digest
    stored.delete([f"values/{lost[:2]}/{lost}"])
    stored.write(f"values/{damaged[:2]}/{damaged}", stored.read(f"values/{damaged[:2]}/{damaged}")[:-1] + b"?")
    health = runs.check_db(home, read_values=True)
    assert (health.missing_values, health.damaged_values) == (1, (damaged,))

    shutil.rmtree(home.values)
    names = {each.name for each in stored.files("")}
    assert runs.gc(home=home).values == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbdag.runs.actions.gc.GRACE", -10.0)
        assert runs.gc(home=home).values == 0  # the run needs all of them
        dry = runs.gc(0.0, dry_run=True, home=home)
        assert {each.name for each in stored.files("")} == names
        done = runs.gc(0.0, home=home)
    assert (dry.values, dry.folders, dry.notebooks) == (done.values, done.folders, done.notebooks)
    assert done.values and done.folders == done.notebooks == 1 and done.bytes
    assert [each.name.partition("/")[0] for each in stored.files("")] == ["owners"]


@pytest.mark.slow
def test_single_attempts_on_hosts_without_common_folders_pass_values_by_s3(
    s3: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(cell)
            for cell in ("%%task a\nx = [1, 2]\nprint('done')", "%%task b --check 'sum(x) == 3'\nx")
        ]
    )
    nbformat.write(book, tmp_path / "nb.ipynb")
    said: list[str] = []
    for host, task in (("first", "a"), ("second", "b")):
        monkeypatch.setenv("NBDAG_CACHE", str(tmp_path / host))
        done = runs.attempt(
            tmp_path / "nb.ipynb",
            task,
            run="r",
            storage="s3://data/attempts",
            home=Home(tmp_path / "h"),
            on_output=said.append,
        )
        assert (done.state, done.error) == (TaskState.SUCCESS, None)
        assert done.notebook is not None and done.notebook.exists()
    assert "done" in "".join(said)
    stored = {each.name for each in files_at("s3://data/attempts").files("runs")}
    assert stored >= {
        f"runs/nb/r/tasks/{task}/{name}" for task in "ab" for name in ("1.ipynb", "1.log", "outcome.json")
    }
