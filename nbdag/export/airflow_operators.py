"""Airflow's operators that execute an attempt: in bash, in another Python, in a container, or in a Kubernetes pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.model.attempt_command import INDEX_VARIABLE, NOT_YET, SKIPPED
from .python_text import Code, call, literal

_OPTIONS = """\
    words += ["--code-version", CODE_VERSION, "--storage", STORAGE]
    words += ["--run", "{{ run_id }}", "--logical-date", "{{ dag_run.logical_date or dag_run.run_after }}"]
    words += ["--try", "{{ ti.try_number }}", "--max-tries", "{{ ti.max_tries }}"]
    words += ["--conf", "{{ dag_run.conf | tojson }}"]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The place where Airflow executes the attempts."""

    operator: str  # a key of `OPERATORS`
    notebook: str  # path of the notebook where the tasks run
    storage: str  # folder or URL for values, notebooks and logs
    version: str  # version of the notebook's code
    python: str = "python"  # the Python that executes the attempts
    image: str = ""  # image of the container, for operators that start a container
    command: str = ""  # the nbdag command that writes the DAG file
    files: str = ""  # digest of the pinned files (%dag --with) in the storage; "" if there are none
    environment: str = ""  # digest of the packages (%dag --requires) in the storage; "" if there are none


class AttemptOperator:
    """One of Airflow's operators, and its arguments for an attempt. This base class stands for the BashOperator."""

    name = "BashOperator"
    imports: Mapping[str, set[str]] = {
        "airflow.providers.standard.operators.bash": {"BashOperator"},
        "shlex": set(),
    }
    answers_are_text = False  # whether Airflow gets a task's result as JSON text instead of as a value
    environment = "env"  # the argument with the environment variables of a mapped instance
    needs_image = False
    needs_package = ""  # package of Airflow's provider, if the package apache-airflow does not contain it
    has_sensor = False  # whether a sensor can free its slot between two polls
    first_words = 'PYTHON, "-m", "nbdag", '

    def constants(self, target: Target) -> list[str]:
        """Return the lines of the constants that only this operator needs."""
        return [f"PYTHON = {literal(target.python)}  # a Python with nbdag and the packages of the notebook"]

    def helper(self, target: Target) -> str:
        """Return the functions that the tasks call."""
        pinned = (("--with-files", "PINNED_FILES", target.files), ("--environment", "ENVIRONMENT", target.environment))
        pins = "".join(f'    words += ["{option}", {name}]\n' for option, name, digest in pinned if digest)
        return (
            "def attempt(task_id, *options):\n"
            '    """Return the command that executes one attempt of a task."""\n'
            f'    words = [{self.first_words}"attempt", NOTEBOOK, task_id, *options]\n'
            f"{_OPTIONS}\n{pins}"
            f"    return {self.returned}"
        )

    returned = "shlex.join(words)"

    def default_args(self, target: Target) -> dict[str, Any]:
        """Return the arguments of all tasks."""
        return {"do_xcom_push": False}

    def arguments(self, task: str, options: Sequence[str], *, answers: bool) -> dict[str, Any]:
        """Return the arguments that execute an attempt; `answers` tells whether other tasks use the result."""
        found: dict[str, Any] = {"bash_command": _attempt(task, options)}
        return found | ({"do_xcom_push": True, "output_processor": Code("json.loads")} if answers else {})

    def task(
        self, id: str, task: str, options: Sequence[str], named: Mapping[str, Any], *, answers: bool, indent: int
    ) -> Code:
        """Return the call that creates a task. `id` is the id in the Airflow group, `task` the id in the notebook."""
        given = {"task_id": id, **self.arguments(task, options, answers=answers), **named}
        return call(self.name, [], given, indent=indent)

    def mapped(self, id: str, task: str, named: Mapping[str, Any], elements: str, *, indent: int) -> Code:
        """Return the call that creates a mapped task; `elements` is the list with the environment of each instance."""
        given = {"task_id": id, **self.arguments(task, (), answers=False), **self.partial(), **named}
        end = f".expand({self.environment}={elements})"
        return Code(call(f"{self.name}.partial", [], given, indent=indent + len(end)) + end)

    def partial(self) -> dict[str, Any]:
        """Return further arguments of a mapped task."""
        return {}

    def sensor(self, id: str, task: str, named: Mapping[str, Any], *, indent: int) -> Code:
        """Return the call that creates a BashSensor, which frees its slot between two polls. Needs `has_sensor`."""
        given = {"task_id": id, "bash_command": _attempt(task, ["--poll-once"]), "retry_exit_code": NOT_YET, **named}
        return call("BashSensor", [], given, indent=indent)


class BashAttempt(AttemptOperator):
    """The BashOperator, and the BashSensor for sensors that free their slot."""

    has_sensor = True

    def partial(self) -> dict[str, Any]:
        """Return the argument that adds an instance's variables to the worker's environment instead of replacing it."""
        return {"append_env": True}


class ExternalPythonAttempt(AttemptOperator):
    """The ExternalPythonOperator: a function in the Python of the tasks starts the command."""

    name = "ExternalPythonOperator"
    imports: Mapping[str, set[str]] = {"airflow.providers.standard.operators.python": {"ExternalPythonOperator"}}
    environment = "op_kwargs"
    first_words = '"-m", "nbdag", '
    returned = "words"

    def helper(self, target: Target) -> str:
        """Return the function that makes the command, and the function that executes it."""
        return (
            f"{super().helper(target)}\n\n\n"
            f'def execute(*words, {INDEX_VARIABLE}="-1"):\n'
            '    """Execute an attempt in the Python of the task, and return its result."""\n'
            "    import json\n"
            "    import os\n"
            "    import subprocess\n"
            "    import sys\n"
            "    import tempfile\n"
            "\n"
            '    with tempfile.NamedTemporaryFile("r") as result:\n'
            '        command = [sys.executable, *words, "--result", result.name]\n'
            f'        environment = {{**os.environ, "{INDEX_VARIABLE}": {INDEX_VARIABLE}}}\n'
            "        code = subprocess.run(command, check=False, env=environment).returncode\n"
            "        if code:\n"
            "            sys.exit(code)\n"
            "        return json.load(result)"
        )

    def default_args(self, target: Target) -> dict[str, Any]:
        """Return the arguments of all tasks: the Python, the function, and the exit code of a skipped task."""
        return {
            "python": Code("PYTHON"),
            "python_callable": Code("execute"),
            "expect_airflow": False,
            "skip_on_exit_code": SKIPPED,
        }

    def arguments(self, task: str, options: Sequence[str], *, answers: bool) -> dict[str, Any]:
        """Return the arguments that execute an attempt."""
        return {"op_args": _attempt(task, options)}


class DockerAttempt(AttemptOperator):
    """The DockerOperator; a storage that is a folder is mounted into the container."""

    name = "DockerOperator"
    imports: Mapping[str, set[str]] = {"airflow.providers.docker.operators.docker": {"DockerOperator"}}
    answers_are_text = True
    environment = "environment"
    needs_image = True
    needs_package = "apache-airflow-providers-docker"
    first_words = '"python", "-m", "nbdag", '
    returned = "words"

    def constants(self, target: Target) -> list[str]:
        """Return the line with the image."""
        return [f"IMAGE = {literal(target.image)}  # has nbdag, the notebook and its packages"]

    def default_args(self, target: Target) -> dict[str, Any]:
        """Return the arguments of all tasks."""
        found: dict[str, Any] = {"image": Code("IMAGE"), "skip_on_exit_code": SKIPPED, "auto_remove": "success"}
        if "://" not in target.storage:
            found["mounts"] = Code('[Mount(target=STORAGE, source=STORAGE, type="bind")]')
        return found | {"mount_tmp_dir": False, "do_xcom_push": False}

    def arguments(self, task: str, options: Sequence[str], *, answers: bool) -> dict[str, Any]:
        """Return the arguments that execute an attempt. Airflow takes the last printed line as the result."""
        return {"command": _attempt(task, options)} | ({"do_xcom_push": True} if answers else {})


class PodAttempt(AttemptOperator):
    """The KubernetesPodOperator; Airflow reads the result from a file of the pod."""

    name = "KubernetesPodOperator"
    imports: Mapping[str, set[str]] = {"airflow.providers.cncf.kubernetes.operators.pod": {"KubernetesPodOperator"}}
    environment = "env_vars"
    needs_image = True
    needs_package = "apache-airflow-providers-cncf-kubernetes"
    first_words = ""
    returned = "words"

    def constants(self, target: Target) -> list[str]:
        """Return the line with the image, and a comment if the storage is a folder."""
        lines = [f"IMAGE = {literal(target.image)}  # has nbdag, the notebook and its packages"]
        if "://" not in target.storage:
            lines.append("# STORAGE is a folder: mount it into every pod (volumes and volume_mounts in default_args).")
        return lines

    def default_args(self, target: Target) -> dict[str, Any]:
        """Return the arguments of all tasks."""
        words = ["python", "-m", "nbdag"]
        return {"image": Code("IMAGE"), "cmds": words, "skip_on_exit_code": SKIPPED, "do_xcom_push": False}

    def arguments(self, task: str, options: Sequence[str], *, answers: bool) -> dict[str, Any]:
        """Return the arguments that execute an attempt."""
        options = [*options, "--result", "/airflow/xcom/return.json"] if answers else options
        return {"arguments": _attempt(task, options)} | ({"do_xcom_push": True} if answers else {})


def _attempt(task: str, options: Sequence[str]) -> Code:
    return call("attempt", [task, *options], {})


OPERATORS: Mapping[str, AttemptOperator] = {
    "bash": BashAttempt(),
    "external-python": ExternalPythonAttempt(),
    "kubernetes-pod": PodAttempt(),
    "docker": DockerAttempt(),
}
