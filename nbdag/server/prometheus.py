"""Metrics of pipelines on the endpoint that Jupyter Server has for Prometheus, `{base_url}metrics`.

Jupyter collects metrics in its event loop, where a query of the database would block all requests. So a thread reads
the numbers every few seconds while requests arrive, and a response contains the numbers that were read last. The first
response has no metrics of nbdag, because nothing has been read yet.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily

from ..core.model.states import RunState, TaskState
from ..errors import NbdagError
from ..home import Home
from ..runs import Metrics, metrics

INTERVAL = 5.0  # seconds between two reads of the database
_REST = 600.0  # seconds without a request after which the thread stops reading


class Collector:
    """Answers Prometheus with the numbers that its thread read last."""

    def __init__(self, home: Callable[[], Home], *, interval: float = INTERVAL) -> None:
        self._home = home
        self._interval = interval
        self._numbers: Metrics | None = None
        self._asked = 0.0  # monotonic time of the last request
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def describe(self) -> list[Metric]:
        """Return an empty list, so that the registry does not call `collect` to learn the names of the metrics."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        self._asked = time.monotonic()
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="nbdag-metrics", daemon=True)
            self._thread.start()
        if self._numbers is not None:
            yield from families(self._numbers)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._wanted.set()

    def _work(self) -> None:
        while self._wanted.wait() and not self._closed.is_set():
            with contextlib.suppress(NbdagError, OSError):  # the database cannot be read now
                self._numbers = metrics(home=self._home())
            if time.monotonic() - self._asked > _REST:
                self._wanted.clear()
            self._closed.wait(self._interval)


def families(numbers: Metrics) -> Iterator[Metric]:
    """Yield the metrics in Prometheus' form."""
    yield _gauge("nbdag_runs", "Runs by state", "state", _by_state(numbers))
    yield _gauge("nbdag_tasks", "Task instances by state", "state", {s: numbers.tasks.get(s, 0) for s in TaskState})
    yield GaugeMetricFamily("nbdag_queue_depth", "Task instances that wait for a slot", numbers.waiting)
    yield GaugeMetricFamily("nbdag_tasks_active", "Task instances that have a slot", numbers.active)
    yield GaugeMetricFamily("nbdag_schedulers", "Schedulers that are alive", numbers.schedulers)
    yield GaugeMetricFamily("nbdag_dags_overdue", "Pipelines whose schedule should have created a run", numbers.overdue)
    delay = SummaryMetricFamily(
        "nbdag_scheduling_delay_seconds", "From the creation of a run to its start", labels=["dag"]
    )
    length = SummaryMetricFamily(
        "nbdag_run_duration_seconds", "From the start of a run to its end", labels=["dag", "state"]
    )
    for dag in sorted({each.dag for each in numbers.runs}):
        mine = [each for each in numbers.runs if each.dag == dag]
        delay.add_metric([dag], sum(each.started for each in mine), sum(each.delay for each in mine))
        for each in mine:
            if each.ended:
                length.add_metric([dag, each.state.value], each.ended, each.duration)
    yield delay
    yield length
    yield SummaryMetricFamily(
        "nbdag_task_duration_seconds",
        "From the start of an attempt to its end",
        count_value=numbers.attempts,
        sum_value=numbers.attempts_duration,
    )


def register(home: Callable[[], Home]) -> Collector:
    """Add the metrics of a home to the endpoint of this process."""
    found = Collector(home)
    REGISTRY.register(found)
    return found


def unregister(collector: Collector) -> None:
    """Remove the metrics from the endpoint."""
    collector.close()
    with contextlib.suppress(KeyError):
        REGISTRY.unregister(collector)


def _by_state(numbers: Metrics) -> dict[RunState, int]:
    found = Counter[RunState]()
    for each in numbers.runs:
        found[each.state] += each.number
    return {state: found[state] for state in RunState}


def _gauge(name: str, text: str, label: str, values: dict[RunState, int] | dict[TaskState, int]) -> Metric:
    found = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        found.add_metric([value.value], number)
    return found
