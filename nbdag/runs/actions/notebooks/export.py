"""Export a notebook to Airflow, or as a Python script without nbdag. Nothing is run, except a %%dag cell."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path, PurePath

from .... import building
from ....building import BuiltNotebook
from ....core.cells.code_version import code_version
from ....core.options.option_types import nearest
from ....errors import NbdagError, error
from ....export.airflow import airflow_file
from ....export.airflow_operators import OPERATORS, Target
from ....export.script import script_file
from ....home import absolute, storage_place, the_home
from ...creation.prepare import NotebookProblemsError
from ...execution.exported_pins import place_of, read_pins


@error
class UnknownAirflowOperatorError(NbdagError):
    """nbdag cannot execute attempts in this operator of Airflow."""

    exit_code = 2

    name: str
    template = "unknown operator {name!r} of Airflow; {hint}"

    @property
    def hint(self) -> str:
        near = nearest(self.name, OPERATORS)
        return f"did you mean {near}?" if near else f"expected one of {', '.join(OPERATORS)}"


@error
class ImageMissingError(NbdagError):
    """The operator starts a container, but no image is given."""

    exit_code = 2

    operator: str
    template = (
        "the operator {operator} needs --image: the name of a container image with nbdag, the notebook and its packages"
    )


@error
class ContainerStorageError(NbdagError):
    """The operator starts a container, which does not see the folder of the runs."""

    exit_code = 2

    operator: str
    template = "the operator {operator} needs --storage: a folder or URL that every container can use, such as s3://bucket/nbdag"


def export_airflow(
    notebook: str | PurePath,
    *,
    operator: str = "bash",
    storage: str | None = None,
    python: str | None = None,
    image: str | None = None,
    notebook_there: str | None = None,
    command: str | None = None,
) -> str:
    """Return the DAG file for Airflow 3 that runs a notebook.

    Each task of the file calls `nbdag attempt` in `operator`: bash, external-python, kubernetes-pod or docker.
    `storage` is the folder or URL for values, notebooks and logs (default: NBDAG_STORAGE, else the folder of the runs).
    `python` is the Python of the tasks (default: this one). `image` is the image of the tasks' containers.
    `notebook_there` is the notebook's path on the host of the tasks (default: its path here). The DAG file says that
    `command` has created the file. The files of %dag --with and the exact versions of %dag --requires are copied into
    the storage.

    Raises `ExportError` if part of the notebook has no equivalent in Airflow, and `StorageError` if the storage cannot
    be written.
    """
    found = OPERATORS.get(operator)
    if found is None:
        raise UnknownAirflowOperatorError(operator)
    if found.needs_image and not image:
        raise ImageMissingError(operator)
    home = the_home(None)
    given = storage_place(storage, absolute(".")) if storage else home.storage
    if found.needs_image and not given:
        raise ContainerStorageError(operator)
    built = _read(notebook)
    path = absolute(notebook)
    pins = read_pins(built.dag.options, path.parent)
    target = Target(
        operator=operator,
        notebook=notebook_there or str(path),
        storage=given or str(home.root),
        version=code_version(built.dag),
        python=python or sys.executable,
        image=image or "",
        command=command or f"nbdag export airflow {shlex.quote(os.fspath(notebook))}",
        files=pins.files,
        environment=pins.environment,
    )
    text = airflow_file(built.dag, target)
    pins.store(place_of(target.storage))
    return text


def export_script(notebook: str | PurePath, *, command: str | None = None) -> str:
    """Return a Python script that runs a notebook without nbdag.

    Raises `ExportError` if the notebook contains something that a script cannot do.
    """
    built = _read(notebook)
    return script_file(built.dag, command or f"nbdag export script {shlex.quote(os.fspath(notebook))}")


def _read(notebook: str | PurePath) -> BuiltNotebook:
    built = building.read_built(notebook)
    if built.dag.errors:
        raise NotebookProblemsError(Path(notebook), tuple(built.dag.errors))
    return built
