"""What a header can say of a task, and of the whole DAG.

Durations are seconds. A default here is what holds when neither the task's header nor `%dag` says otherwise. One
class lists all that a task can be told; `core.header` reads and writes it, and makes the help and the completion
from the fields' metadata, so an option is declared once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What one task was told, after `%dag`'s defaults have been applied."""

    after: tuple[str, ...] = ()  # tasks that come first, though no variable shows it
    operator: str = "python"  # what turns the cell into code: see nbdag.operators
    retries: int = 0  # tries after the first
    retry_delay: float = 30.0  # seconds before the first retry
    retry_backoff: float | None = None  # growth of the delay per try; None keeps it constant
    max_retry_delay: float = 86_400.0  # seconds
    timeout: float | None = None  # seconds that one try may take
    priority: int = 1
    pool: str = "default_pool"
    slots: int = 1  # how many of the pool's slots it takes
    trigger: str = "all_success"
    when: str | None = None  # an expression: false skips the task
    short_circuit: bool = False  # a false `when` skips every descendant, whatever its trigger rule
    check: tuple[str, ...] = ()  # expressions that must hold after the cell has run
    map: tuple[tuple[str, str], ...] = ()  # (variable, expression): one instance per element
    zip: bool = False  # several maps in step rather than as a product
    max_map_length: int = 1024
    out: tuple[str, ...] = ()  # names to pass on as well
    change: tuple[str, ...] = ()  # names changed in place, though code does not show it
    poke: float = 60.0  # seconds between two looks of a sensor
    reschedule: bool = False  # a sensor frees its slot between looks
    depends_on_past: bool = False
    wait_for_downstream: bool = False
    cache: bool = False
    doc: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DagOptions:
    """What `%dag` says of the whole pipeline."""

    schedule: str | None = None  # cron, a preset, `every 15m`, `@once`; None runs on demand only
    start_date: datetime | None = None  # aware, in `tz`
    end_date: datetime | None = None  # aware, inclusive
    tz: str = "UTC"  # an IANA name
    catchup: bool = False
    max_active_runs: int = 16
    max_active_tasks: int = 16  # per run
    timeout: float | None = None  # seconds that a run may take
    fail_fast: bool = False
    weight_rule: str = "downstream"
    owner: str | None = None
    tags: tuple[str, ...] = ()
    description: str | None = None
    infer: bool = True
    on_failure: tuple[str, ...] = ()
    on_success: tuple[str, ...] = ()
    on_retry: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)  # task options by field name: Airflow's default_args
