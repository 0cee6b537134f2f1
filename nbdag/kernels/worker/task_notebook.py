"""The notebook of one attempt, which papermill executes.

    begin ▸ parameters ▸ (papermill's injected parameters) ▸ setup ▸ inputs ▸ the cell ▸ finish

The cells with nbdag's own steps are tagged and hidden; the task's cell is unchanged. If possible, several steps share a
cell, because each cell costs a round trip to the kernel.
"""

from __future__ import annotations

from pprint import pformat
from typing import Any

from nbformat import v4

from ...core.model.cell_tags import HELPER, PARAMETERS, SETUP, TASK
from ...core.model.job import Job
from ...core.model.secret_names import is_reference
from ..runtime.messages import KernelRequest

_INPUTS = "_nbdag.inputs()"
_FINISH = "_nbdag.finish()"
_EXPAND = "_nbdag.expand()"


def task_notebook(job: Job) -> Any:
    """Return the notebook to execute for a job."""
    cells = [_helper(_begin(job))]
    cells += [_cell(code, PARAMETERS) for code in job.parameter_cells if code.strip()]
    cells[-1].metadata.tags.append("parameters")  # papermill injects the run's parameters after the cell with this tag
    hidden = [name for name, value in job.parameters.items() if is_reference(value)]
    if hidden:
        cells.append(_helper("\n".join(f"{name} = _nbdag.secret_parameter({name!r})" for name in hidden)))
    setup = [_cell(code, SETUP) for code in job.setup_cells if code.strip()]
    can_share_cell = len(cells) == 1 and not job.parameters and not setup
    if can_share_cell:
        cells[0].source += f"\n{_INPUTS}"
    else:
        cells += [*setup, _helper(_INPUTS)]
    cells += [_helper(_EXPAND)] if job.expand else [_cell(job.task.code, TASK), _helper(_FINISH)]
    return v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": job.kernel_name, "display_name": job.kernel_name, "language": "python"},
            "nbdag": {
                "dag": job.key.dag,
                "run": job.key.run,
                "task": job.key.task,
                "map_index": job.key.map_index,
                "try": job.key.try_number,
            },
        },
    )


def _begin(job: Job) -> str:
    request = pformat(KernelRequest.of(job).to_dict(), width=110, sort_dicts=False)
    return f"from nbdag.kernels.runtime.runtime import begin as _nbdag\n\n_nbdag = _nbdag({request})"


def _cell(code: str, tag: str) -> Any:
    return v4.new_code_cell(code, metadata={"tags": [tag]})


def _helper(code: str) -> Any:
    return v4.new_code_cell(code, metadata={"tags": [HELPER], "jupyter": {"source_hidden": True}})
