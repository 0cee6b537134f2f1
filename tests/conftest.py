"""What all tests share: fork servers of their own, in a folder of their own, which end with the tests; PostgreSQL.

A PostgreSQL server is NBDAG_TEST_POSTGRES_URL's, else one of the tests' own, on a socket that nobody else sees. Where
none is installed its tests are skipped, unless NBDAG_REQUIRE_POSTGRES=1.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

SECONDS_ON_TWO_CORES = 490  # measured with `pytest -n auto`, before bytecode was kept: an upper bound


def pytest_configure(config: pytest.Config) -> None:
    _keep_bytecode(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts its background jobs so, but tests interrupt runs of their own.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("dist", "no") == "load":
        config.option.dist = "worksteal"  # neighbours stay on one worker, and share its kernels


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return how long the whole suite takes here, and what it skips; nothing where only some tests are chosen."""
    if config.args_source is not config.ArgsSource.TESTPATHS or config.option.keyword or config.option.markexpr:
        return []
    workers = len(config.getoption("tx", None) or ["this process"])
    minutes = 2 * SECONDS_ON_TWO_CORES / min(workers, os.cpu_count() or 1) / 60
    length = f"duration: about {minutes:.0f} min with -n {workers}; the percentages show how far it is"
    return [length, *(f"skipped here: {each}" for each in _missing())]


def _missing() -> Iterator[str]:
    chromium = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    if not (chromium or os.environ.get("NBDAG_CHROMIUM") or os.environ.get("NBDAG_REQUIRE_BROWSER")):
        yield "tests/browser, for want of Chromium (apt-get install chromium, or set NBDAG_CHROMIUM)"
    postgres = os.environ.get("NBDAG_TEST_POSTGRES_URL") or _postgres_programs()
    if not (postgres or os.environ.get("NBDAG_REQUIRE_POSTGRES") == "1"):
        yield "tests on PostgreSQL, for want of a server (apt-get install postgresql, or set NBDAG_TEST_POSTGRES_URL)"


def _keep_bytecode(config: pytest.Config) -> None:
    """Let the tests keep compiled modules beside pytest's cache where Python is told to write none.

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
    """Where the fork servers of this process's tests are met. A socket's path is short, so pytest's folders do not do."""
    with (
        tempfile.TemporaryDirectory(prefix="nbdag-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("NBDAG_RUNTIME_DIR", folder)
        patch.setenv("NBDAG_IDLE", "120")
        patch.setenv("NBDAG_BUILD_TIMEOUT", "600")  # its usual 30 s are short where the machine is busy
        for name in ("NBDAG_HOME", "NBDAG_DB_URL", "NBDAG_DEBUG"):
            patch.delenv(name, raising=False)
        yield Path(folder)
        end_all_of(folder)


def end_all_of(folder: str | os.PathLike[str]) -> None:
    """End the servers that are met in a folder, and all that they forked: their arguments name it."""
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
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {each.pw_name for each in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, user)
    return {"user": user, "group": pwd.getpwnam(user).pw_gid}


class Postgres:
    """A PostgreSQL server of our own, on a socket that nobody else sees."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.url = f"postgresql://nbdag@/postgres?host={folder}"
        self._folder, self._who = folder, _as_nobody(folder)
        self._log = folder / "log"
        self._log.touch()
        if self._who:
            shutil.chown(self._log, str(self._who["user"]))
        data = folder / "data"
        self._ctl = [programs / "pg_ctl", "-D", data, "-w", "-t", "60"]
        make = [programs / "initdb", "-D", data, "-U", "nbdag", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"]
        self._do(make)

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
            pytest.fail("no PostgreSQL server is installed here, and NBDAG_REQUIRE_POSTGRES says that one must be")
        pytest.skip("no PostgreSQL server is installed here")
    with tempfile.TemporaryDirectory(prefix="nbdag-pg-", ignore_cleanup_errors=True) as name:
        server = Postgres(programs, Path(name))
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test has stopped it
                server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server on which databases may be made."""
    said = os.environ.get("NBDAG_TEST_POSTGRES_URL")
    if said:
        yield said
        return
    with _postgres() as server:
        yield server.url


@pytest.fixture
def postgres_of_its_own() -> Iterator[Postgres]:
    """A server that the test may stop and start."""
    with _postgres() as server:
        yield server


@pytest.fixture
def postgres_database(postgres: str) -> Iterator[Callable[[], str]]:
    """Makes an empty database, and answers with its URL; it is gone after the test."""
    from sqlalchemy import create_engine, make_url, text

    server = make_url(postgres).set(drivername="postgresql+psycopg")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    names: list[str] = []

    def make() -> str:
        names.append(f"nbdag_{uuid.uuid4().hex[:12]}")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {names[-1]}"))
        return server.set(database=names[-1]).render_as_string(hide_password=False)

    with contextlib.closing(engine.connect()):
        pass
    yield make
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
