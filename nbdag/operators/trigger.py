"""The operator `trigger`: a task that asks the scheduler to run another pipeline, and may wait for that run.

    %%task reports --operator trigger --wait
    monthly_reports
    month = f"{day:%Y-%m}"

The first line is the id of a deployed pipeline, with `{name}` for a value of this notebook; below it are parameters.
The scheduler executes the run, so the run continues if this task is cancelled. With --wait, the task polls every --poke
until the run has succeeded, and fails if the run fails. Between two polls the task has no slot and no process, as with
--reschedule, because the run may need the only slot. A retry of this task triggers a new run. With `--out NAME`, NAME
is the id of the run. To run a pipeline within this task instead, use the operator `notebook`.
"""

from __future__ import annotations

from ..core.options import option_types
from ..core.options.operator_options import operator_option
from ..core.options.options import TaskOptions
from .bodies.calls import assigned, only_name
from .bodies.parameters import pipeline_call
from .sensor import Sensor


class Trigger(Sensor):
    """Translates a pipeline's id and parameters into a call of `nbdag.runs.trigger_child`."""

    summary = (
        "The first line of the body is the id of a deployed pipeline, the lines below are its parameters, "
        "name = value. The scheduler runs it. --out NAME is the id of the run."
    )
    example = '%%task reports --operator trigger --wait\nmonthly_reports\nmonth = "2026-01"'
    own_options = (
        operator_option(
            "wait", option_types.FLAG, "poll every --poke until the run has ended, and fail if it fails", default=False
        ),
    )

    def source(self, body: str, options: TaskOptions) -> str:
        out = only_name(options.out, "a trigger has one result, the id of the run")
        wait = {"wait": True, "poke": options.poke} if self.given(options)["wait"] else {}
        return assigned(out, pipeline_call("nbdag.runs:trigger_child", body, "pipeline", **wait), sensor=True)
