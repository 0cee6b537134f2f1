"""The operator `notebook`: a task that runs another notebook or pipeline, and takes values from it.

    %%task train_eu --operator notebook --out accuracy model
    train.ipynb
    region = "eu"
    alpha = best_alpha

The first line is a notebook's file (relative to this notebook), or the id of a deployed pipeline, with `{name}` for a
value of this notebook. The lines below are parameters, whose values are Python expressions. The task executes the other
notebook immediately, as a separate run with its own report, also in the live notebook. If that run fails, this task
fails. A notebook without tasks runs as one task. Each name in --out gets the value of that name from the other run. The
other run stores a value only if one of its later tasks reads the name, or if the task that sets the name has --out.
"""

from __future__ import annotations

from ..core.options import option_types
from ..core.options.operator_options import operator_option
from ..core.options.options import TaskOptions
from .bodies.calls import assigned
from .bodies.parameters import pipeline_call
from .tasks import Operator


class Notebook(Operator):
    """Translates a notebook's name and parameters into a call of `nbdag.runs.run_child`."""

    summary = (
        "The first line of the body is a notebook or the id of a deployed pipeline, the lines below are its "
        "parameters, name = value. The task executes this pipeline as a separate run with its own report. --out NAME… "
        "are values of that run."
    )
    example = '%%task train_eu --operator notebook --out accuracy\ntrain.ipynb\nregion = "eu"'
    own_options = (
        operator_option(
            "jobs",
            option_types.integer(1),
            "maximum number of tasks that run at the same time; default the number of cores",
        ),
    )

    def source(self, body: str, options: TaskOptions) -> str:
        given = {name: value for name, value in self.given(options).items() if value is not None}
        call = pipeline_call("nbdag.runs:run_child", body, "notebook", out=options.out, **given)
        return assigned(options.out, call)
