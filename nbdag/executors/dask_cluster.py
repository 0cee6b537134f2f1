"""The connection to a Dask cluster: addresses, versions, and the state of its hosts."""

from __future__ import annotations

import concurrent.futures
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, TypeVar, cast

from distributed import Client
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.versions import VersionMismatchWarning

from ..errors import NbdagError, error
from ..storage import files_at
from . import HostState
from .dask_worker import DASK, HOST_METRIC, Mismatch, describe_host, mismatch_of_worker
from .host_resources import cores, load_average
from .host_versions import describe, versions

_T = TypeVar("_T")
CONNECT_TIMEOUT = 15.0  # seconds to wait for the Dask scheduler
GRACE = 3.0  # seconds after CONNECT_TIMEOUT until nbdag stops waiting for the Dask client
SILENT = 15.0  # seconds without a heartbeat after which a worker is reported


@error
class NoClusterError(NbdagError):
    """No Dask scheduler answers at the address."""

    address: str
    reason: str
    template = (
        "no Dask scheduler answers at {address} ({reason}); start one with `dask scheduler`, or omit --address to "
        "start a cluster on this machine"
    )


@error
class HostsDifferError(NbdagError):
    """Every host of the cluster has other versions than this process."""

    differences: tuple[str, ...]  # one sentence per host
    template = (
        "no host of the Dask cluster has the versions of this environment: {joined}; install the same versions there, "
        "or pass --allow-mismatch"
    )

    @property
    def joined(self) -> str:
        """Return the differences in one line."""
        return "; ".join(self.differences)


@error
class SchedulerDiffersError(HostsDifferError):
    """The Dask scheduler has another version of Dask than this process."""

    template = "the Dask scheduler has {joined}; install the same version there or here, or pass --allow-mismatch"


def connect(to: str) -> Client:
    """Return a connection to the Dask scheduler at an address. Raises `NoClusterError`."""
    try:
        parse_host_port(parse_address(to)[1])
    except ValueError:
        raise NoClusterError(to, "expected a form such as tcp://host:8786") from None
    made: concurrent.futures.Future[Client] = concurrent.futures.Future()
    # Connect in a thread, because a Dask client waits forever if the server is not a Dask scheduler.
    threading.Thread(target=_connect, args=(to, made), name="nbdag-dask-connect", daemon=True).start()
    concurrent.futures.wait([made], CONNECT_TIMEOUT + GRACE)
    if made.cancel():
        raise NoClusterError(to, "the server at this address does not answer as a Dask scheduler does")
    failure = made.exception()
    if failure is None:
        return made.result()
    reason = "" if isinstance(failure, TimeoutError) else " ".join(str(failure).split())[:300]
    raise NoClusterError(to, reason or "no answer") from failure


def _connect(to: str, made: concurrent.futures.Future[Client]) -> None:
    try:
        with warnings.catch_warnings():
            # nbdag compares the versions itself, and reports the differences that matter in one sentence.
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client = Client(to, timeout=CONNECT_TIMEOUT, set_as_default=False, name="nbdag")
    except BaseException as failure:
        if not made.cancelled():
            made.set_exception(failure)
    else:
        if made.cancelled():
            client.close()
        else:
            made.set_result(client)


own_versions = versions


def _answers(client: Client, question: Callable[..., _T], *arguments: Any) -> dict[str, _T]:
    """Call a function on every worker, and return the results by the workers' addresses.

    Workers that do not answer are left out. Raises the first error of the function.
    """
    found = client.run(question, *arguments, on_error="return")
    answered = {worker: answer for worker, answer in found.items() if not isinstance(answer, OSError)}
    for answer in answered.values():
        if isinstance(answer, BaseException):
            raise answer
    return answered


def expected_versions(imports: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions that a worker must have: those of Python, nbdag, Dask and the packages of these modules."""
    return own_versions(imports) | {DASK: version(DASK)}


def differences_of_workers(client: Client, expected: Mapping[str, str]) -> dict[str, Mismatch]:
    """Return how workers differ from the expected versions; a key is the address of a worker.

    Raises `SchedulerDiffersError` if the Dask scheduler has another version of Dask.
    """
    _check_scheduler(client, expected[DASK])
    seen = _answers(client, mismatch_of_worker, expected)
    return {address: found for address, found in seen.items() if found is not None}


def _check_scheduler(client: Client, expected: str) -> None:
    found = client.sync(cast(Any, client.scheduler).versions)["packages"].get(DASK, "")
    if found != expected:
        raise SchedulerDiffersError((describe({DASK: found}, {DASK: expected}),))


def _load_of_host(storage: str) -> tuple[float, int, str]:
    """Return (load average, number of cores, reason) of this host.

    The reason says why the host cannot write to the storage; it is "" if the host can.
    """
    reason = ""
    try:
        if storage:
            files_at(storage).check()
    except NbdagError as failure:
        reason = str(failure)
    return load_average(), cores(), reason


def states_of(workers: Mapping[str, Any], now: float) -> list[HostState]:
    """Return the state of all workers from their last heartbeats, sorted by host name.

    After `declare_resources`, the heartbeats of a worker contain the name and the load of its host.
    """
    found = []
    for address, about in workers.items():
        metrics = about["metrics"]
        host = metrics.get(HOST_METRIC) or {}
        silent = now - about.get("last_seen", now)
        found.append(
            HostState(
                name=host.get("name", str(about["host"])),
                address=address,
                slots=about["nthreads"],
                running=int(metrics.get("executing", 0)),
                load=host.get("load", 0.0),
                cores=host.get("cores", 0),
                versions={},
                problem=f"the worker has sent no heartbeat for {silent:.0f} s" if silent > SILENT else "",
            )
        )
    return sorted(found, key=lambda each: (each.name, each.address))


def hosts(address: str, storage: str = "") -> list[HostState]:
    """Return the state of each worker of a cluster, sorted by host name.

    If `storage` is the URL of a storage, every worker checks that it can write there. Raises `NoClusterError` or
    `SchedulerDiffersError`.
    """
    client = connect(address)
    try:
        own = expected_versions()
        _check_scheduler(client, own[DASK])
        workers = client.scheduler_info(n_workers=-1)["workers"]
        seen, loads = _answers(client, describe_host), _answers(client, _load_of_host, storage)
        found = [
            HostState(
                name=seen[worker]["host"],
                address=worker,
                slots=about["nthreads"],
                running=int(about["metrics"].get("executing", 0)),
                load=loads[worker][0],
                cores=loads[worker][1],
                versions={what: seen[worker][what] for what in own},
                problem=describe(seen[worker], own) or loads[worker][2],
            )
            for worker, about in workers.items()
            if worker in seen and worker in loads
        ]
        found += [
            HostState(
                name=str(about["host"]),
                address=worker,
                slots=about["nthreads"],
                running=0,
                load=0.0,
                cores=0,
                versions={},
                problem="the worker does not answer",
            )
            for worker, about in workers.items()
            if worker not in seen or worker not in loads
        ]
    finally:
        client.close()
    return sorted(found, key=lambda each: (each.name, each.address))
