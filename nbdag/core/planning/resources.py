"""The resources that tasks need (`--resources gpu=1 memory=8GB`) and hosts offer.

The amounts are only counted, as in Dask: nothing measures what a task really uses. A task runs on one host, so one host
must offer everything that the task needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..model.text import join_names
from ..options.option_types import write_resource

Resources = tuple[tuple[str, float], ...]  # (name, amount) of each resource, as in `TaskOptions.resources`


@dataclass(frozen=True, slots=True)
class Offers:
    """The resources of all hosts of an executor."""

    hosts: tuple[Mapping[str, float], ...]  # for each host: amount by resource
    may_grow: bool = False  # whether hosts that offer more may join later

    def missing(self, needs: Resources) -> Resources:
        """Return the needs that the most suitable host cannot meet; () if a host can meet all needs."""
        found: Resources = needs
        for host in self.hosts:
            lacks = tuple((name, amount) for name, amount in needs if host.get(name, 0.0) < amount)
            if len(lacks) < len(found) or not lacks:
                found = lacks
        return found

    def most(self, name: str) -> float:
        """Return the largest amount of a resource that one host offers."""
        return max((host.get(name, 0.0) for host in self.hosts), default=0.0)

    def total(self, name: str) -> float:
        """Return the amount of a resource that all hosts offer together."""
        return sum(host.get(name, 0.0) for host in self.hosts)

    def why_never(self, needs: Resources) -> str:
        """Return what the hosts lack for a task, as the end of a sentence; "" if a host can execute the task."""
        said = []
        for name, amount in self.missing(needs):
            most = self.most(name)
            offered = f"the most on one host is {_amount(name, most)}" if most else f"no host offers {name}"
            said.append(f"{write_resource((name, amount))} ({offered})")
        return f"needs {' and '.join(said)}" if said else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the offers as plain data, for the record of a scheduler."""
        return {"hosts": [dict(host) for host in self.hosts], "may_grow": self.may_grow}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Offers | None:
        """Return the offers that `to_dict` returned as plain data, or None for an empty mapping."""
        return cls(tuple(data["hosts"]), bool(data["may_grow"])) if data else None


def free(offers: Offers | None, needs: Resources, held: Iterable[Resources]) -> bool:
    """Return whether the resources that a task needs are free. `held` has the resources of the running tasks.

    If no host offers enough, and no other host can join, return True, so that the executor reports the task as failed.
    """
    if offers is None or not needs:
        return True
    if offers.missing(needs):
        return not offers.may_grow
    used = [dict(each) for each in held]
    return all(sum(each.get(name, 0.0) for each in used) + amount <= offers.total(name) for name, amount in needs)


def waits_words(offers: Offers, needs: Resources, held: Iterable[tuple[str, Resources]]) -> str:
    """Return why a task waits for resources; `held` has the label and the resources of each running task."""
    never = offers.why_never(needs)
    if never:
        return f"{never}; it starts when a host with these resources joins"
    holders = list(held)
    said = []
    for name, amount in needs:
        users = [label for label, each in holders if name in dict(each)]
        used = sum(dict(each).get(name, 0.0) for _, each in holders)
        if used + amount > offers.total(name):
            taken = f"{_amount(name, used)} of {_amount(name, offers.total(name))} taken by {join_names(users)}"
            said.append(f"{name}: {taken} (it needs {_amount(name, amount)})")
    return f"waits for {' and '.join(said)}"


def rounded(name: str, amount: float) -> float:
    """Return a rounded amount for display, because the memory of a machine is not a round number of bytes."""
    return round(amount / 1e9, 1) * 1e9 if name in ("memory", "disk") and amount >= 1e9 else amount


def _amount(name: str, amount: float) -> str:
    return write_resource((name, rounded(name, amount))).partition("=")[2]
