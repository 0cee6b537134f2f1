"""Observe which hosts, absolute file paths, modules and global random generators the cells of a kernel use.

An audit hook receives the connections and opened files of all Python code, including libraries. Connections of
other programs, and of libraries that connect in C, are not reported. The state of each global random generator is
compared before and after each cell.

This module imports the standard library alone, because its source is also sent to kernels without nbdag. It writes one
JSON file for each kernel, after each cell, so that the file is complete even if the kernel dies.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "NBDAG_REHEARSAL"  # environment variable with the folder of the observations
_MAX = 2_000  # maximum number of observations of one kernel
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/bin", "/run", "/opt", "/var")
_IMPORT = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_][\w.]*(?:[^\S\n]*,[^\S\n]*[\w.]+)*)", re.MULTILINE)
_SIZE = 624  # position in the state of a Mersenne Twister right after its seed was set
_REPLAYED = re.compile(r"<cell (\d+)>")

_active: Observer | None = None
_installed = False


def begin(shell: Any, folder: str, cwd: str = "") -> None:
    """Start to observe the cells that follow. If an earlier call still observes cells, stop that observation."""
    global _active, _installed
    if cwd:
        os.chdir(cwd)
        if sys.path and sys.path[0] in ("", *_folders):
            sys.path[0] = cwd
        _folders.append(cwd)
    if _active is not None:
        _active.end()
    for name in ("random", "numpy.random"):  # a forked kernel may have imported and seeded them before the fork
        module: Any = sys.modules.get(name)
        if module is not None:
            module.seed()
    _active = Observer(shell, folder)
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True


_folders: list[str] = []  # the working directories that `begin` has set


def key_of(code: str) -> str:
    """Return a short text that identifies a cell by its code."""
    return hashlib.sha256(code.strip().encode("utf-8", "replace")).hexdigest()[:16]


class Observer:
    """The observations of one kernel."""

    def __init__(self, shell: Any, folder: str) -> None:
        self._shell = shell
        self._file = Path(folder) / f"{os.getpid()}-{time.time_ns()}.json"
        self._here = os.path.realpath(Path.cwd())
        self._excluded = tuple(
            f"{os.path.normpath(place)}/"
            for place in (sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(os.__file__).parent), folder, *_SYSTEM)
        )
        self._temporary = f"{os.path.realpath(tempfile.gettempdir())}/"
        self._pages: dict[str, str] = {}  # key: file name of a cell's code object; value: key of the cell
        self._cell: str | None = None
        self._before: dict[str, tuple[int, bool]] = {}
        self._imported = 0  # number of modules before the cell
        self._seen: dict[tuple[Any, ...], None] = {}
        self._modules: dict[str, dict[str, Any]] = {}
        self._draws: list[dict[str, Any]] = []
        self._resolved = False  # whether the cell has looked up a host by name; if so, addresses are not reported
        shell.events.register("pre_run_cell", self.before_cell)
        shell.events.register("post_run_cell", self.after_cell)

    def end(self) -> None:
        """Stop observing."""
        self._shell.events.unregister("pre_run_cell", self.before_cell)
        self._shell.events.unregister("post_run_cell", self.after_cell)

    def before_cell(self, info: Any) -> None:
        """Record the state of the generators before a cell."""
        with suppress(Exception):
            self._cell = key_of(info.raw_cell)
            compiler, code = self._shell.compile, info.raw_cell
            self._pages[compiler.get_code_name(code, code, self._shell.execution_count)] = self._cell
            self._resolved = False
            self._before = _generators()
            self._imported = len(sys.modules)

    def after_cell(self, result: Any) -> None:
        """Record the generators that a cell has used and the modules that it imported, and write all observations."""
        with suppress(Exception):
            cell, self._cell = self._cell, None
            imported = len(sys.modules) != self._imported
            for name, (state, fresh) in _generators().items():
                # If the cell has imported the generator, no earlier state is known. The cell has then drawn numbers
                # unless the generator is still in the state right after a seed.
                if not fresh if name not in self._before else state != self._before[name][0]:
                    self._draws.append({"cell": cell, "generator": name, "state": state, "imported": imported})
            for found in _IMPORT.finditer(result.info.raw_cell if result.info is not None else ""):
                for dotted in found[1].split(","):
                    self._add_module(dotted.strip().partition(".")[0])
            self._write()

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record an audit event of a cell."""
        if event == "open":
            self._opened(arguments[0], arguments[2] or 0)
        elif event == "socket.getaddrinfo":
            host = arguments[0]
            if host and self._cell is not None:
                self._resolved = True
                self._add("host", host.decode() if isinstance(host, bytes) else str(host))
        elif event == "socket.connect":
            address = arguments[1]
            if isinstance(address, tuple) and self._cell is not None and not self._resolved:
                self._add("host", str(address[0]))

    def _opened(self, path: Any, flags: int) -> None:
        if isinstance(path, int) or self._cell is None:
            return
        given = os.fsdecode(path)
        if not given.startswith(os.sep) or given.endswith((".py", ".pyc", ".so")):
            # A relative path is below the notebook's folder, or beside it.
            if not given.endswith((".py", ".pyc", ".so")):
                self._add("file", os.path.abspath(given), "w" if flags & (os.O_WRONLY | os.O_RDWR) else "r")  # noqa: PTH100
            return
        normal = os.path.normpath(given)
        inside = f"{normal}/".startswith(f"{self._here}/")
        if not inside and (f"{normal}/".startswith(self._excluded) or self._is_hidden(normal)):
            return
        self._add("inside" if inside else "outside", normal, "w" if flags & (os.O_WRONLY | os.O_RDWR) else "r")

    def _is_hidden(self, path: str) -> bool:
        home = os.path.expanduser("~")  # noqa: PTH111
        below = path[len(home) :] if path.startswith(f"{home}/") else path
        return "/." in below or "/site-packages/" in path or "/dist-packages/" in path

    def _add(self, kind: str, detail: str, how: str = "") -> None:
        place = self._place()
        # Libraries open files of their own at any time, so only files that a cell's code opens are recorded.
        if kind != "host" and place is None:
            return
        cell, line = place or (self._cell, None)
        if len(self._seen) < _MAX:
            self._seen.setdefault((kind, detail, how, cell, line))

    def _place(self) -> tuple[str | None, int | None] | None:
        """Return the cell and the line of the innermost frame that executes code of a cell."""
        frame = sys._getframe(3)
        while frame is not None:
            name = frame.f_code.co_filename
            if name in self._pages:
                return self._pages[name], frame.f_lineno
            if found := _REPLAYED.fullmatch(name):
                return f"#{int(found[1]) - 1}", frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return None

    def _add_module(self, name: str) -> None:
        module = sys.modules.get(name)
        if not name or name in self._modules or module is None or name in sys.stdlib_module_names:
            return
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
        distribution, version = _distribution(name)
        self._modules[name] = {"file": file, "distribution": distribution, "version": version}

    def _write(self) -> None:
        names = ("kind", "detail", "how", "cell", "line")
        found = {
            "seen": [dict(zip(names, each, strict=True)) for each in self._seen],
            "draws": self._draws,
            "modules": self._modules,
            "prefix": sys.prefix,
        }
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(found), encoding="utf-8")
        new.replace(self._file)


def _distribution(name: str) -> tuple[str | None, str | None]:
    """Return the name and the version of the package that has a module."""
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        return name, metadata.version(name)
    for distribution in metadata.packages_distributions().get(name, ()):
        return distribution, metadata.version(distribution)
    return None, None


def _generators() -> dict[str, tuple[int, bool]]:
    """Return the global random generators in use, each with (hash of its state, whether it is just seeded).

    A generator is just seeded if nothing was drawn from it since its seed was set. For torch, this is unknown: True.
    """
    state = random.getstate()
    found = {"random": (zlib.crc32(repr(state).encode()), state[1][-1] == _SIZE)}
    with suppress(Exception):
        if (numpy := sys.modules.get("numpy.random")) is not None:
            state = numpy.get_state(legacy=True)
            found["numpy.random"] = (zlib.crc32(state[1].tobytes() + repr(state[2:]).encode()), state[2] == _SIZE)
    with suppress(Exception):
        if (torch := sys.modules.get("torch")) is not None:
            found["torch"] = (zlib.crc32(torch.get_rng_state().numpy().tobytes()), True)
    return found


_EVENTS = frozenset({"open", "socket.getaddrinfo", "socket.connect"})


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # An exception in an audit hook would make the user's operation fail.
    if event in _EVENTS and _active is not None:
        with suppress(Exception):
            _active.see(event, arguments)
