"""The workers of a Dask cluster: their threads, resources and states, and which of them fit to execute an attempt.

A worker fits if it has the versions of Python, nbdag, Dask and packages that the attempt expects. A new worker is
compared with the versions that earlier attempts expected. Before this comparison, the worker's threads do not count as
slots. Every worker also compares its own versions before each attempt, and rejects the attempt if they differ.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from distributed import Client
from distributed.comm.addressing import parse_address, parse_host_port

from ..core.planning.resources import Offers
from . import HostState
from .dask_cluster import HostsDifferError, differences_of_workers, states_of
from .dask_worker import HOST_METRIC, Mismatch, declare_resources, mismatch_of_worker

ADVICE = "install the same versions there, or pass --allow-mismatch"
_Versions = tuple[tuple[str, str], ...]


class DaskHosts:
    """The workers of the executor's cluster, as of the latest check."""

    def __init__(self) -> None:
        self._workers: Mapping[str, Any] = {}  # key: address of a worker; value: what Dask reports about it
        self._states: list[HostState] = []
        self._resources: dict[str, dict[str, float]] = {}  # key: address of a worker; value: amount by resource
        # Addresses of the workers that also offer what NBDAG_RESOURCES declares on their host: one worker per host.
        self._of_hosts: set[str] = set()
        # Workers that do not fit. Key: expected versions; value: for each address, the host and the differences.
        self._misfits: dict[_Versions, dict[str, Mismatch]] = {}
        # Addresses of the workers that fitted at the last call of `fitting`.
        self._last_fit: dict[_Versions, list[str]] = {}
        self._reported: set[tuple[str, str]] = set()  # hosts and differences that were logged
        self._lock = threading.Lock()

    @property
    def threads(self) -> int:
        """Return the number of threads of all workers that were compared and fit."""
        known = self._resources.keys() - self._unfit()
        return sum(each["nthreads"] for address, each in self._workers.items() if address in known)

    @property
    def states(self) -> list[HostState]:
        """Return the states of all workers. For a worker that does not fit, `problem` has the differences."""
        with self._lock:
            misfits = {address: each for found in self._misfits.values() for address, each in found.items()}
        return [
            replace(each, problem=misfits[each.address].differences) if each.address in misfits else each
            for each in self._states
        ]

    @property
    def offers(self) -> Offers:
        """Return the resources of the workers that fit."""
        unfit = self._unfit()
        found = [each for address, each in list(self._resources.items()) if address not in unfit]
        return Offers(tuple(found), may_grow=True)

    def update(self, workers: Mapping[str, Any]) -> None:
        """Record the workers that the Dask scheduler knows now, and forget the others."""
        self._workers = workers
        self._states = states_of(workers, time.time())
        for address in self._resources.keys() - workers.keys():
            del self._resources[address]
        self._of_hosts.intersection_update(workers)
        with self._lock:
            for found in self._misfits.values():
                for address in found.keys() - workers.keys():
                    del found[address]

    # Resources

    def undeclared(self) -> list[str]:
        """Return the addresses of the workers that have not declared their resources."""
        return [address for address, about in self._workers.items() if not self._has_declared(address, about)]

    def declare(self, client: Client, addresses: list[str]) -> None:
        """Compare the versions of workers, and let them declare their resources.

        A worker that does not answer is asked again at the next check.
        """
        for address in addresses:
            if not self._compare(client, address):
                continue
            others = self._of_hosts - {address}
            of_host = _host_of(address) not in map(_host_of, others)
            found = client.run(declare_resources, of_host=of_host, workers=[address], on_error="ignore")
            if isinstance(found.get(address), dict):
                self._resources[address] = found[address]
                if of_host:
                    self._of_hosts.add(address)

    def _has_declared(self, address: str, about: Mapping[str, Any]) -> bool:
        """Return whether the worker that is now at this address has declared its resources.

        Also return False if `_of_hosts` has no worker of the same host, because the worker at this address must then
        declare the resources of the host.
        """
        hosts = map(_host_of, list(self._of_hosts))
        return address in self._resources and HOST_METRIC in about["metrics"] and _host_of(address) in hosts

    # Versions

    def check(self, client: Client, expected: Mapping[str, str]) -> None:
        """Compare the versions of all workers with the versions that the next attempts expect.

        Raises `HostsDifferError` if no worker fits, or if the Dask scheduler differs.
        """
        found = differences_of_workers(client, expected)
        with self._lock:
            # Forget the earlier expected versions, so that `threads` ignores them.
            self._misfits = {_key(expected): found}
            self._last_fit = {}
        self._report(expected)
        self.fitting(expected)

    def _compare(self, client: Client, address: str) -> bool:
        """Compare a worker with all versions that were expected until now; return whether it has answered."""
        with self._lock:
            keys = list(self._misfits)
        for key in keys:
            expected = dict(key)
            answers = client.run(mismatch_of_worker, expected, workers=[address], on_error="ignore")
            if address not in answers:
                return False
            if (found := answers[address]) is not None:
                self.reject(expected, found)
        return True

    def reject(self, expected: Mapping[str, str], found: Mismatch) -> None:
        """Record that a worker differs from the expected versions."""
        key = _key(expected)
        with self._lock:
            self._misfits.setdefault(key, {})[found.address] = found
            self._last_fit[key] = [each for each in self._last_fit.get(key, ()) if each != found.address]
        self._report(expected)

    def fitting(self, expected: Mapping[str, str]) -> list[str] | None:
        """Return the addresses of the workers that fit, or None if every known worker fits.

        If all fitting workers have left, return their old addresses: an attempt for these addresses waits in Dask.

        Raises `HostsDifferError` if workers are known to differ and no worker has fitted yet.
        """
        key = _key(expected)
        with self._lock:
            misfits = dict(self._misfits.get(key, {}))
            fit = [address for address in self._workers if address not in misfits]
            if fit:
                self._last_fit[key] = fit
            elif misfits:
                fit = self._last_fit.get(key, [])
        if misfits and not fit:
            raise HostsDifferError(tuple(dict.fromkeys(str(each) for each in misfits.values())))
        return fit if misfits else None

    def _unfit(self) -> set[str]:
        """Return the addresses of the workers that fit no attempt."""
        with self._lock:
            found = [set(each) for each in self._misfits.values()]
        return set.intersection(*found) if found else set()

    def _report(self, expected: Mapping[str, str]) -> None:
        """Log each host that does not fit, once per host. If no host fits, log nothing."""
        with self._lock:
            misfits = dict(self._misfits.get(_key(expected), {}))
            if misfits.keys() >= self._workers.keys():
                return  # `HostsDifferError` names the hosts
            new = {(each.host, each.differences): each for each in misfits.values()}
            new = {key: each for key, each in new.items() if key not in self._reported}
            self._reported.update(new)
        for each in new.values():
            logging.getLogger(__name__).warning("%s, so it executes no tasks; %s", each, ADVICE)


def _key(expected: Mapping[str, str]) -> _Versions:
    return tuple(sorted(expected.items()))


def _host_of(address: str) -> str:
    return str(parse_host_port(parse_address(address)[1])[0])
