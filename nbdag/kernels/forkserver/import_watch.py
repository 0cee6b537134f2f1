"""Detect whether a module stores data of the importing process: pid, time, folder, entropy, environment variables.

Such data differs between ordinary kernels, but all children of a server would share it. So during an import, calls of
functions that return such data are recorded. Afterwards, the namespaces of the calling module are searched for the
returned values. A plain value (a pid, a time, the folder, a UUID, a generator of random numbers) is renewed: each child
gets a new value, as if the child had imported the module. A text that contains the pid or the folder is renewed as
well. If a text contains a time or was made from random bytes, nbdag cannot make it again for a child. So the server
does not preload the module; each task imports it. A module is not preloaded either if it reads an environment variable
outside of the server's specification.

Calls by the standard library on behalf of a module count as calls of that module. The standard library's own data is
not searched, because the standard library supports forking.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path, PurePath
from typing import Any

from .server_spec import TRANSIENT

_PIDS: dict[Any, Callable[[], int]] = {
    each: each for each in (os.getpid, os.getppid, threading.get_ident, threading.get_native_id)
}
_CLOCKS: dict[Any, Callable[[], float]] = {
    each: each
    for each in (time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns)
}
_DATES = {"now", "utcnow", "today"}
_SEED = random.Random.seed.__code__
_READ_VARIABLE = type(os.environ).__getitem__.__code__
# Variables that have the same value in the server and in every kernel.
_SAME_EVERYWHERE = {"TERM", "JPY_PARENT_PID"}
_IGNORED = {"nbdag", "importlib", "_frozen_importlib", "_frozen_importlib_external"}
_MIN_ENTROPY = 1 << 64  # seeds that numpy takes from entropy have 128 bits; smaller seeds come from code
_MAX_ITEMS = 1000  # larger dictionaries are not searched


@dataclass(slots=True)
class Watch:
    """The calls that one import makes, and the results of these calls that the module stores."""

    calls: dict[str, set[Any]] = field(default_factory=dict)  # key: module; value: functions that it has called
    # Key: module; value: environment variables that it has read.
    variables: dict[str, set[str]] = field(default_factory=dict)
    generators: list[Any] = field(default_factory=list)  # generators of `random` that were seeded from entropy
    # Key: clock function; value: its time at the start of the import.
    started: dict[Any, float] = field(default_factory=dict)
    renewed: bool = False  # whether any value must be renewed in each child

    def kept(self) -> str:
        """Return why the module must not be preloaded, or "". Register the values that each child renews."""
        for name, variables in self.variables.items():
            found = next((each for each in sorted(variables) if TRANSIENT.fullmatch(each)), None)
            # A module that reads all variables copies the environment, which does not show that it depends on one of
            # them.
            if found and not variables >= os.environ.keys() - _SAME_EVERYWHERE:
                return f"its import reads the variable {found} ({name})"
        for name, called in self.calls.items():
            module = sys.modules.get(name)
            reason = "" if module is None else self._search(module, called)
            if reason:
                return f"its import keeps {reason} ({name})"
        return ""

    def _search(self, module: types.ModuleType, called: set[Any]) -> str:
        for space in _namespaces(module):
            for key, value in list(space.items() if isinstance(space, dict) else vars(space).items()):
                renew = self._renewal(value, called)
                if renew is not None:
                    self.renewed = True
                    (_in_folder if isinstance(value, str | PurePath) else _at_fork).append(_setter(space, key, renew))
                elif isinstance(value, str) and self._holds_time(value, called):
                    return "a text with the time"
                elif os.urandom in called and isinstance(value, bytes | str) and _looks_random(value):
                    return "a random text"
                elif os.urandom in called:
                    self._reseed(value)
        return ""

    def _renewal(self, value: object, called: set[Any]) -> Callable[[], object] | None:
        match value:
            case bool():
                return None
            case int() | float():
                for read in called & _PIDS.keys():
                    if value == read():
                        return _PIDS[read]
                for clock in called & _CLOCKS.keys():
                    if int(self.started[clock]) <= value <= clock():
                        return _as_type(type(value), clock)
            case uuid.UUID(version=4) if os.urandom in called:
                return uuid.uuid4
            case uuid.UUID(version=1):
                return uuid.uuid1
            case datetime() if called & _DATES:
                zone, is_utc = value.tzinfo, "utcnow" in called
                age = abs((datetime.now(zone) - value).total_seconds())
                if is_utc or age < time.time() - self.started[time.time] + 1:
                    return lambda: datetime.now(UTC).replace(tzinfo=None) if is_utc else datetime.now(zone)
            case date() if "today" in called and value == datetime.now().date():
                return lambda: datetime.now().date()
            case str() | PurePath() if os.getcwd in called and str(Path.cwd()) in str(value):
                return _replaced(value, str(Path.cwd()), os.getcwd)
            case str():
                for read in called & _PIDS.keys():
                    if _holds(value, [read()]):
                        return _replaced(value, str(read()), read)
        return None

    def _holds_time(self, text: str, called: set[Any]) -> bool:
        numbers = [int(number) for number in re.findall(r"\d{10,20}", text)]
        return any(
            int(self.started[clock]) <= number <= int(clock()) + 1
            for clock in called & {time.time, time.time_ns}
            for number in numbers
        )

    def _reseed(self, value: object) -> None:
        for each in (value, *_defaults(value)):
            reseed: Callable[[], object] | None = None
            if any(each is one for one in self.generators):
                reseed = each.seed  # type: ignore[attr-defined]
            elif type(each).__module__.startswith("numpy.random"):
                reseed = _numpy_reseed(each)
            if reseed is not None:
                self.renewed = True
                _at_fork.append(reseed)

    def observe(self, frame: types.FrameType, event: str, arg: Any) -> None:
        """Record a call; this is a callback for `sys.setprofile`."""
        if event == "c_call":
            try:
                if arg in _WATCHED:
                    self._record(frame, arg)
                elif arg.__name__ in _DATES and issubclass(arg.__self__, date):
                    self._record(frame, arg.__name__)
            except (TypeError, AttributeError):
                return
        elif event == "call" and frame.f_code is _SEED:
            if frame.f_locals.get("a") is None:
                self.generators.append(frame.f_locals["self"])
                self._record(frame, os.urandom)
        elif event == "call" and frame.f_code is _READ_VARIABLE and frame.f_back is not None:
            variable = frame.f_locals.get("key")
            if isinstance(variable, str) and not _is_scan(frame.f_back):
                self._record_variable(frame.f_back, variable)

    def _record(self, frame: types.FrameType, called: Any) -> None:
        name = _module_of(frame)
        if name:
            self.calls.setdefault(name, set()).add(called)

    def _record_variable(self, frame: types.FrameType, variable: str) -> None:
        if variable not in _SAME_EVERYWHERE and (name := _module_of(frame)):
            self.variables.setdefault(name, set()).add(variable)


_WATCHED = {*_PIDS, *_CLOCKS, os.urandom, os.getcwd}
_at_fork: list[Callable[[], object]] = []
_in_folder: list[Callable[[], object]] = []


@contextlib.contextmanager
def watching(is_known: bool) -> Iterator[Watch]:
    """Watch an import in this thread.

    With `is_known`, record no calls, because an earlier import has shown that the module stores no data of the process.
    """
    watch = Watch(started={clock: clock() for clock in _CLOCKS})
    if is_known:
        yield watch
        return
    sys.setprofile(watch.observe)
    try:
        yield watch
    finally:
        sys.setprofile(None)


def refresh() -> None:
    """Renew the values of the server's process that imported modules have stored. Called in a new child."""
    for renew in _at_fork:
        with contextlib.suppress(Exception):
            renew()


def refresh_folder() -> None:
    """Replace the server's folder by the child's working directory in imported modules that have stored the folder."""
    for renew in _in_folder:
        with contextlib.suppress(Exception):
            renew()


def _is_scan(caller: types.FrameType) -> bool:
    """Return whether the caller is a method of Mapping that tests for a variable or loops over all variables."""
    return caller.f_globals.get("__name__") == "collections.abc" and caller.f_code.co_name != "get"


def _module_of(frame: types.FrameType | None) -> str:
    """Return the name of the nearest calling module outside of the standard library, or "" if there is none."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        top = name.partition(".")[0]
        if top in _IGNORED or frame.f_globals is globals():
            return ""
        if top not in sys.stdlib_module_names and top != "__main__":
            return str(name)
        frame = frame.f_back
    return ""


def _namespaces(module: types.ModuleType) -> Iterator[Any]:
    """Yield a module, and the classes, objects and dictionaries that it defines."""
    yield module
    for value in list(vars(module).values()):
        if isinstance(value, dict):
            if value is not module.__dict__ and len(value) < _MAX_ITEMS:
                yield value
        elif isinstance(value, type):
            if value.__module__ == module.__name__:
                yield value
        elif type(value).__module__ == module.__name__ and isinstance(getattr(value, "__dict__", None), dict):
            yield value


def _defaults(value: object) -> tuple[object, ...]:
    if isinstance(value, types.FunctionType):
        return (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
    return ()


def _numpy_reseed(value: object) -> Callable[[], object] | None:
    """Return a function that reseeds a numpy generator, or None if the generator's seed is not from entropy."""
    bits = getattr(value, "bit_generator", None) or getattr(value, "_bit_generator", None)
    entropy = getattr(getattr(bits, "seed_seq", None), "entropy", None)
    if not isinstance(entropy, int) or entropy < _MIN_ENTROPY:
        return None
    kind: Any = type(bits)
    return lambda: setattr(bits, "state", kind().state)


def _setter(space: Any, key: str, renew: Callable[[], object]) -> Callable[[], object]:
    if isinstance(space, dict):
        return lambda: space.__setitem__(key, renew())
    return lambda: setattr(space, key, renew())


def _as_type(kind: type, read: Callable[[], object]) -> Callable[[], object]:
    return lambda: kind(read())


def _replaced(value: str | PurePath, part: str, read: Callable[[], object]) -> Callable[[], object]:
    kind: Any = type(value)
    return lambda: kind(str(value).replace(part, str(read())))


def _holds(text: str, numbers: Iterable[int]) -> bool:
    """Return whether a text contains one of these numbers; a match inside a longer number does not count."""
    return any(str(number) in re.findall(r"\d+", text) for number in numbers)


def _looks_random(value: bytes | str) -> bool:
    if isinstance(value, bytes):
        return len(value) >= 8 and len(set(value)) > len(value) // 2
    return re.fullmatch(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}|[0-9a-f]{16,}", value) is not None
