"""Fixtures for all tests: a separate folder of fork servers, which end with the tests, and a PostgreSQL server.

The PostgreSQL server is that of NBDAG_TEST_POSTGRES_URL, else the tests start one on a private socket. If PostgreSQL is
not installed, its tests are skipped; with NBDAG_REQUIRE_POSTGRES=1 they fail.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from patience import LONG
from warm import WarmCommands

if TYPE_CHECKING:
    from sqlalchemy import Engine

FAST = "not slow"  # default selection: the fast tests
SLOW = "slow"  # selects the tests that FAST excludes
SECONDS_ON_TWO_CORES = 250  # of `pytest -n auto`, measured on a quiet machine


def pytest_configure(config: pytest.Config) -> None:
    _keep_bytecode(config)
    # jsonschema would compile the grammar of IRIs, which takes more than a second; notebooks contain no IRIs.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # a None entry makes the import fail
    if _is_whole_suite(config):
        config.option.markexpr = FAST
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs with SIGINT ignored, but tests interrupt runs with SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("dist", "no") == "load":
        config.option.dist = "worksteal"  # neighbouring tests run on one worker and share its kernels


class FailuresAtOnce:
    """Prints each failed test with its reason at once; otherwise a run that is ended early names none under xdist."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)  # after the letter of the progress
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = crash.message.partition("\n")[0] if crash else f"in its {report.when}"
            self._terminal.write_line(f"\nFAILED {report.nodeid} - {reason}", red=True)
            self._terminal.flush()


@pytest.hookimpl(trylast=True)  # the terminal reporter is registered before
def pytest_sessionstart(session: pytest.Session) -> None:
    plugins = session.config.pluginmanager
    terminal = plugins.getplugin("terminalreporter")  # none in a worker of xdist
    if terminal is not None and terminal.verbosity <= 0 and plugins.hasplugin("dsession"):
        plugins.register(FailuresAtOnce(terminal))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    with _as_outside_of_tests():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    with _as_outside_of_tests():
        return (yield)


@contextlib.contextmanager
def _as_outside_of_tests() -> Iterator[None]:
    """Hide PYTEST_CURRENT_TEST, with which ipykernel does not read the output of a kernel's subprocesses."""
    name = "PYTEST_CURRENT_TEST"
    test = os.environ.pop(name, None)
    try:
        yield
    finally:
        if test is not None:
            os.environ[name] = test


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use one worker more than processors, because a test often waits for other processes; slow tests wait more."""
    if config.option.numprocesses != "auto" or "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist decides
    return 2 * _processors() if config.option.markexpr == SLOW else _processors() + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a module without slow tests if only those are selected; all tests in a browser are slow."""
    if config.option.markexpr != SLOW or collection_path.suffix != ".py" or collection_path.parent.name == "browser":
        return None
    return True if "mark.slow" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection() -> None:
    """Collect no garbage while tests are collected: nothing of what is made then becomes garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exempt what was imported and collected from the garbage collector, which would look through it again and again."""
    gc.freeze()
    gc.enable()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return the expected duration of the whole suite, and the skipped parts; nothing if only some tests are selected."""
    if not (config.args_source is config.ArgsSource.TESTPATHS and config.option.markexpr == FAST):
        return []
    workers = len(config.getoption("tx", None) or ["this process"])
    minutes = 2 * SECONDS_ON_TWO_CORES / min(workers, _processors()) / 60
    length = f"duration: about {minutes:.0f} min with -n {workers}; the percentages show the progress"
    slow = "left out: the slowest tests, and those in a browser or on other hosts (pytest -n auto -m slow)"
    return [length, slow, *(f"skipped here: {each}" for each in _missing())]


def _processors() -> int:
    from nbdag.executors.host_resources import cores  # not imported before `pytest_configure`

    return cores()


def _is_whole_suite(config: pytest.Config) -> bool:
    """Return whether pytest was called without a choice of tests."""
    everywhere = config.args_source is config.ArgsSource.TESTPATHS
    return everywhere and not (config.option.keyword or config.option.markexpr or getattr(config.option, "lf", False))


def _missing() -> Iterator[str]:
    chromium = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    if not (chromium or os.environ.get("NBDAG_CHROMIUM") or os.environ.get("NBDAG_REQUIRE_BROWSER")):
        yield "tests/browser, because Chromium is not installed (apt-get install chromium, or set NBDAG_CHROMIUM)"
    postgres = os.environ.get("NBDAG_TEST_POSTGRES_URL") or _postgres_programs()
    if not (postgres or os.environ.get("NBDAG_REQUIRE_POSTGRES") == "1"):
        yield "tests on PostgreSQL, because no server is installed (apt-get install postgresql, or set NBDAG_TEST_POSTGRES_URL)"


def _keep_bytecode(config: pytest.Config) -> None:
    """Let the tests write bytecode into pytest's cache folder if Python is configured to write none.

    The tests start some thousand processes; without bytecode each of them compiles what it imports, and the whole suite
    takes twice the processor time.
    """
    cache = getattr(config, "cache", None)
    if sys.dont_write_bytecode and sys.pycache_prefix is None and cache is not None:
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(cache.mkdir("bytecode"))
        sys.dont_write_bytecode = False
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session", autouse=True)
def runtime() -> Iterator[Path]:
    """Yield the folder of the fork servers' sockets; pytest's folders are too long for a socket's path."""
    with (
        tempfile.TemporaryDirectory(prefix="nbdag-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("NBDAG_RUNTIME_DIR", folder)
        patch.setenv("NBDAG_IDLE", "600")
        patch.setenv("NBDAG_SERVERS", "12")  # a server that makes room for another one is soon needed again
        patch.setenv("PYTHONUNBUFFERED", "1")  # as tests/surfaces sets it, so that all tests share servers
        patch.setenv("NBDAG_BUILD_TIMEOUT", "600")  # the default of 30 s is too short on a busy machine
        for name in ("NBDAG_HOME", "NBDAG_DB_URL", "NBDAG_DEBUG"):
            patch.delenv(name, raising=False)
        yield Path(folder)
        end_all_of(folder)


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests() -> Iterator[None]:
    """Forget the secrets that a test made known to this process; they would be masked in the values of later tests."""
    yield
    if (masker := sys.modules.get("nbdag.secrets.masker")) is not None:
        masker.known.__init__()


@pytest.fixture(scope="session")
def warm_commands(runtime: Path) -> Iterator[WarmCommands]:
    """Yield the process that forks commands of nbdag."""
    with contextlib.closing(WarmCommands()) as commands:
        yield commands


def end_all_of(folder: str | os.PathLike[str]) -> None:
    """Kill the servers of a folder and the processes that they forked, whose arguments contain the folder."""
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in process.cmdline()):
                process.kill()
        except psutil.Error:
            continue


def _postgres_programs() -> Path | None:
    config = shutil.which("pg_config")
    if config is not None:
        said = Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
        if (said / "initdb").exists():
            return said
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).parent if there else None


def _as_nobody(folder: Path) -> dict[str, str | int]:
    """Return the arguments of subprocess that run PostgreSQL as another user than root, which it refuses."""
    if os.geteuid() != 0:
        return {}
    names = {each.pw_name for each in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, user)
    return {"user": user, "group": pwd.getpwnam(user).pw_gid}


class Postgres:
    """A PostgreSQL server that the tests start, on a private socket."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.url = f"postgresql://nbdag@/postgres?host={folder}"
        self._folder, self._who = folder, _as_nobody(folder)
        self._log = folder / "log"
        self._log.touch()
        if self._who:
            shutil.chown(self._log, str(self._who["user"]))
        data = folder / "data"
        self._ctl = [programs / "pg_ctl", "-D", data, "-w", "-t", f"{LONG:.0f}"]
        make = [programs / "initdb", "-D", data, "-U", "nbdag", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"]
        self._do(make)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Stop the server even if this process is killed: then the guard reads the end of its input."""
        words = ["sh", "-c", 'read -r _; exec "$@"', "sh", *self._ctl, "-m", "immediate", "stop"]
        quiet = subprocess.DEVNULL
        options = {"stdin": subprocess.PIPE, "stdout": quiet, "stderr": quiet, "start_new_session": True, **self._who}
        with subprocess.Popen(words, **options) as guard:  # type: ignore[call-overload]
            try:
                yield
            finally:
                guard.kill()

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c fsync=off"
        self._do([*self._ctl, "-l", self._log, "-o", options, "start"])

    def stop(self) -> None:
        self._do([*self._ctl, "-m", "immediate", "stop"])

    def _do(self, words: Sequence[str | Path]) -> None:
        with self._log.open("ab") as log:
            subprocess.run(words, check=True, stdout=log, stderr=log, cwd=self._folder, **self._who)  # type: ignore[call-overload]


@contextlib.contextmanager
def _postgres() -> Iterator[Postgres]:
    programs = _postgres_programs()
    if programs is None:
        if os.environ.get("NBDAG_REQUIRE_POSTGRES") == "1":
            pytest.fail("no PostgreSQL server is installed, but NBDAG_REQUIRE_POSTGRES=1 requires one")
        pytest.skip("no PostgreSQL server is installed")
    with tempfile.TemporaryDirectory(prefix="nbdag-pg-", ignore_cleanup_errors=True) as name:
        server = Postgres(programs, Path(name))
        server.start()
        try:
            with server.guarded():
                yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test may have stopped the server
                server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server on which databases can be created."""
    said = os.environ.get("NBDAG_TEST_POSTGRES_URL")
    if said:
        yield said
        return
    with _postgres() as server:
        yield server.url


@pytest.fixture
def postgres_of_its_own() -> Iterator[Postgres]:
    """Yield a PostgreSQL server that the test may stop and start."""
    with _postgres() as server:
        yield server


@pytest.fixture(scope="module")
def postgres_of_the_module() -> Iterator[Postgres]:
    """Yield a PostgreSQL server that the tests of a module may stop and start."""
    with _postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(postgres: str) -> Iterator[Engine]:
    """Yield an engine that executes each statement at once, for CREATE DATABASE."""
    from sqlalchemy import create_engine, make_url

    engine = create_engine(make_url(postgres).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with contextlib.closing(engine.connect()):
        pass
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Engine) -> Iterator[str]:
    """Yield the name of a database with the tables of a new store, which PostgreSQL copies faster than it makes them."""
    from sqlalchemy import text

    import nbdag.store
    from nbdag.home import Home

    name = f"nbdag_{uuid.uuid4().hex[:12]}"
    with postgres_server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgres_server.url.set(database=name).render_as_string(hide_password=False)
    nbdag.store.open(Home(Path("/nonexistent"), url)).close()
    yield name
    with postgres_server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgres_database(postgres_server: Engine, postgres_template: str) -> Iterator[Callable[[], str]]:
    """Yield a function that creates a database for a store and returns its URL; they are dropped after the test."""
    from sqlalchemy import text

    names: list[str] = []

    def make() -> str:
        names.append(f"nbdag_{uuid.uuid4().hex[:12]}")
        with postgres_server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {names[-1]} TEMPLATE {postgres_template}"))
        return postgres_server.url.set(database=names[-1]).render_as_string(hide_password=False)

    yield make
    with postgres_server.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
