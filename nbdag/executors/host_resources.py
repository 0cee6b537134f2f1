"""The resources that this host offers to tasks with `--resources`.

A host offers its processor cores (`cpu`) and its memory. NBDAG_RESOURCES or an option declares other resources, such as
`gpu=2 disk=100GB`. A declared amount of `cpu` or `memory` replaces the amount that was measured.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from ..core.options.option_types import read_resource, split
from ..errors import NbdagError, error

VARIABLE = "NBDAG_RESOURCES"
ADVICE = "lower its --resources, or declare what this host has, such as NBDAG_RESOURCES='gpu=1 memory=64GB'"
# Files with the memory limit of a container: one for cgroup 2, and one for cgroup 1.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# Files with the processor quota of a container, for cgroup 2 and for cgroup 1. They contain two numbers: how many
# microseconds of processor time may be used in one period, and the length of the period in microseconds.
_QUOTAS = (
    (Path("/sys/fs/cgroup/cpu.max"),),
    (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),
)


@error
class ResourcesError(NbdagError):
    """The declared resources of a host cannot be read."""

    exit_code = 2
    word: str
    reason: str
    template = "the resources of this host: {word!r} {reason}"


def declared(text: str | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, float]:
    """Return the resources that NBDAG_RESOURCES and `text` declare; `text` has priority. Raises `ResourcesError`."""
    found: dict[str, float] = {}
    for source in (environ.get(VARIABLE, ""), text or ""):
        try:
            words = [part for word in split(source) for part in word.text.split(",") if part]
        except ValueError as failure:
            raise ResourcesError(source, str(failure.args[0])) from None
        for word in words:
            try:
                name, amount = read_resource(word)
            except ValueError as failure:
                raise ResourcesError(word, str(failure)) from None
            found[name] = amount
    return found


def offered_here(text: str | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, float]:
    """Return everything that this host offers. Raises `ResourcesError`."""
    return {"cpu": float(cores()), "memory": float(memory()), **declared(text, environ)}


def load_average() -> float:
    """Return the load average of this host's last minute; 0.0 if the system does not know it."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # AttributeError: Windows lacks this function
        return 0.0


def cores() -> int:
    """Return the number of cores that this process may use. Its affinity and its container's quota limit the number."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # AttributeError: only Linux has this function
        found = os.cpu_count() or 1
    for files in _QUOTAS:
        try:
            quota, period = map(int, " ".join(path.read_text() for path in files).split())
        except (OSError, ValueError):  # no quota
            continue
        if quota > 0 and period > 0:
            found = min(found, math.ceil(quota / period))
    return found


def memory() -> int:
    """Return how many bytes of memory this process may use."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        import psutil

        return int(psutil.virtual_memory().total)
    for path in _LIMITS:
        try:
            found = min(found, int(path.read_text()))
        except (OSError, ValueError):  # no limit
            continue
    return found
