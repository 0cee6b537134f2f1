"""Executors receive jobs, execute one attempt for each job, and return the results.

An executor neither decides which task runs next nor writes to the store. An executor is responsible for the processes
of its attempts. An attempt fails if its process ends without a result or stops sending heartbeats. Terminating an
attempt kills all processes of the attempt.

`create` finds an executor by its name. A package adds an executor with an entry point:

    [project.entry-points."nbdag.executors"]
    cluster = "mypackage.executors:ClusterExecutor"

The entry point names a subclass of `Executor`, or another callable that returns an executor. The arguments are `slots`
and the executor's own options. If `slots` is None, the executor chooses how many attempts run at once.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from ..core.model.job import Job, Key, Result
from ..core.options.option_types import nearest
from ..core.planning.resources import Offers
from ..errors import NbdagError, error

GROUP = "nbdag.executors"
LOCAL = "local"
# Built-in executors are listed here, because searching the entry points of all packages is slow.
_BUILT_IN = {
    LOCAL: EntryPoint(LOCAL, "nbdag.executors.local:LocalExecutor", GROUP),
    "dask": EntryPoint("dask", "nbdag.executors.dask:DaskExecutor [dask]", GROUP),
}


class Executor(ABC):
    """Executes attempts. `on_result` is called exactly once per submitted job, from any thread."""

    host: str = ""  # name of the host that executes all attempts; "" if attempts may run on several hosts

    @property
    @abstractmethod
    def slots(self) -> int:
        """The maximum number of attempts at once, which may change."""

    @property
    def offers(self) -> Offers | None:
        """The resources that the hosts offer; None if this executor ignores the `--resources` of tasks."""
        return None

    @property
    def may_grow(self) -> bool:
        """Whether hosts that offer other resources may join while this executor runs."""
        return self.offers is not None and self.offers.may_grow

    @abstractmethod
    def start(self, on_result: Callable[[Result], None]) -> None:
        """Start sending results to `on_result`."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Queue an attempt without waiting; it starts when a slot is free."""

    @abstractmethod
    def cancel(self, key: Key) -> None:
        """Terminate an attempt and all its processes; the attempt's result has the state `failed` and the error
        `cancelled`.
        """

    @abstractmethod
    def stop(self) -> None:
        """Terminate all attempts, and wait until all their processes have ended."""

    @abstractmethod
    def terminate_leftovers(self, notebook: Path, mark: str) -> None:
        """Kill all processes of an attempt whose executor was killed, and wait until they have ended.

        `notebook` is the path of the attempt's notebook (`Job.path`). `mark` is the id that the attempt's processes
        carry (`Job.mark`).
        """

    @classmethod
    def hosts_at(cls, address: str, storage: str = "") -> list[HostState] | None:
        """Return the hosts of the cluster at an address; None if the executor uses no cluster.

        If `storage` is the URL of a storage, every host checks that it can write there.
        """
        return None

    def hosts(self) -> list[HostState] | None:
        """Return the hosts, as of the executor's latest check; None if the executor does not report hosts."""
        return None

    def check_hosts(self, imports: Iterable[str] = ()) -> None:
        """Raise an error if no host has the same versions as this process.

        The versions are those of Python, nbdag and the packages that contain the modules `imports`.
        """
        return

    def running_on(self) -> Mapping[Key, str]:
        """Return the host of each attempt that has started; {} if `host` names the only host."""
        return {}


@error
class UnknownExecutorError(NbdagError):
    """No executor has this name."""

    name: str
    known: tuple[str, ...] = ()
    exit_code = 2
    template = "unknown executor {name!r}; {suggestion}"

    @property
    def suggestion(self) -> str:
        """The most similar known name, if one is similar, followed by a list of all known names."""
        like = nearest(self.name, self.known)
        expected = f"expected one of {', '.join(self.known)}"
        return f"did you mean {like!r}? {expected}" if like else expected


@error
class ExecutorImportError(NbdagError):
    """The code of a known executor cannot be imported."""

    name: str
    reason: str
    package: str  # the package to install, as an argument for `pip install`
    template = "cannot import executor {name!r} ({reason}); install its package: python -m pip install '{package}'"


@error
class ExecutorOptionError(NbdagError):
    """An executor does not have an option."""

    name: str
    option: str
    exit_code = 2
    template = "executor {name} has no option {flag}; omit it, or choose another executor"

    @property
    def flag(self) -> str:
        """The option as it is written on the command line."""
        return f"--{self.option.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Choice:
    """An executor by its name, with its own options, such as the address of a cluster."""

    name: str = LOCAL
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the choice as the store records it; {} means the local executor without options."""
        return {} if self.name == LOCAL and not self.options else {"name": self.name, **self.options}

    @classmethod
    def from_dict(cls, recorded: Mapping[str, Any]) -> Choice:
        """Return the choice that `to_dict` has recorded."""
        return cls(recorded.get("name", LOCAL), {name: each for name, each in recorded.items() if name != "name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """One worker of a cluster, as `nbdag doctor` shows it."""

    name: str  # name of the host
    address: str
    slots: int  # maximum number of attempts at once
    running: int  # number of attempts that the worker executes now
    load: float  # load average of the host's last minute
    cores: int
    versions: Mapping[str, str]  # key: "Python" or "nbdag"
    problem: str = ""  # why the host cannot execute attempts; "" if it can

    def to_dict(self) -> dict[str, Any]:
        """Return the host as plain data, which the store records with each heartbeat of the scheduler."""
        names = ("name", "address", "slots", "running", "load", "cores", "problem")
        return {name: getattr(self, name) for name in names}


def hosts(choice: Choice, storage: str = "") -> list[HostState] | None:
    """Return the hosts of a running cluster; None if the executor uses no cluster or starts its own cluster.

    If `storage` is the URL of a storage, every host checks that it can write there. Raises the errors of `create`.
    """
    address = choice.options.get("address")
    if address is None:
        find(choice.name)
        return None
    make = _load(choice)
    return make.hosts_at(address, storage) if isinstance(make, type) and issubclass(make, Executor) else None


def choice_of(executor: str | Choice) -> Choice:
    """Return `executor` as a `Choice`; a name becomes the executor of this name without options."""
    return Choice(executor) if isinstance(executor, str) else executor


def create(choice: str | Choice, slots: int | None = None) -> Executor:
    """Return a new executor that executes `slots` attempts at once (None: as many as the executor chooses).

    Raises `UnknownExecutorError`, `ExecutorImportError` or `ExecutorOptionError`.
    """
    chosen = choice_of(choice)
    return cast("Executor", _load(chosen)(slots, **chosen.options))


def check(choice: Choice) -> None:
    """Check that an executor has this name and these options. Raises the errors of `create`."""
    if choice.options:
        _load(choice)
    else:
        find(choice.name)


def _load(chosen: Choice) -> Callable[..., Any]:
    """Import an executor and return the callable that creates it, after checking the executor's options."""
    point = find(chosen.name)
    try:
        make: Callable[..., Any] = point.load()
    except ImportError as failure:
        raise ExecutorImportError(chosen.name, str(failure), _package_of(point, failure)) from failure
    if chosen.options:
        takes = inspect.signature(make).parameters.values()
        known = [each.name for each in takes if each.kind is each.KEYWORD_ONLY]
        for option in chosen.options:
            if option not in known and not any(each.kind is each.VAR_KEYWORD for each in takes):
                raise ExecutorOptionError(chosen.name, option)
    return make


def find(name: str) -> EntryPoint:
    """Return the entry point of an executor, without importing the executor. Raises `UnknownExecutorError`."""
    point = _BUILT_IN.get(name) or _installed().get(name)
    if point is None:
        raise UnknownExecutorError(name, names())
    return point


def names() -> tuple[str, ...]:
    """Return the names of all executors, sorted."""
    return tuple(sorted({*_BUILT_IN, *_installed()}))


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _package_of(point: EntryPoint, failure: ImportError) -> str:
    """Return the package to install.

    If the entry point names extras, this is the package of the entry point, with the extras. Else it is the package of
    the missing module.
    """
    own = point.dist.name if point.dist is not None else point.module.partition(".")[0]
    if point.extras:
        return f"{own}[{','.join(point.extras)}]"
    missing = (failure.name or "").partition(".")[0]
    return missing if missing and missing != point.module.partition(".")[0] else own
