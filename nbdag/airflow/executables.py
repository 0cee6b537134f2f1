"""Airflow's operators as objects that a task's kernel executes, for classes of the user that override `execute`.

    class Loud(BashOperator):
        def execute(self, context):
            print("here it comes")
            return super().execute(context)

If a user's class defines `execute`, `pre_execute`, `post_execute` or `poke`, its base becomes a class of this module
(`base.AirflowTask.executable`). The task's cell makes the operator and calls the method, as `custom` describes. Values
of templates in a command or in SQL are passed as data. So the operator's own `execute` renders the templates of
`bash_command` and `sql`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from ..operators import bash as bash_operator
from ..task_api.context import current
from .custom import BaseOperator, BaseSensorOperator
from .kernel import file_exists, run_bash, run_papermill, run_sql


class EmptyExecutable(BaseOperator):
    """Does nothing."""

    def execute(self, context: Any) -> Any:
        return None


class BashExecutable(BaseOperator):
    """Runs a command with bash."""

    template_fields: ClassVar[Collection[str]] = ("env", "cwd")
    rendered_later: ClassVar[Collection[str]] = ("bash_command",)

    def __init__(
        self,
        *,
        bash_command: str,
        env: Mapping[str, Any] | None = None,
        append_env: bool = False,
        cwd: str | None = None,
        skip_on_exit_code: int | Sequence[int] | None = bash_operator.SKIP,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.bash_command = bash_command
        self.env = env
        self.append_env = append_env
        self.cwd = cwd
        self.skip_on_exit_code = skip_on_exit_code

    def execute(self, context: Any) -> Any:
        return run_bash(
            current(),
            self.bash_command,
            env=self.env,
            append_env=self.append_env,
            cwd=self.cwd,
            skip_on_exit_code=self.skip_on_exit_code,
        )


class PythonExecutable(BaseOperator):
    """Calls a function with the values of the context that the function names."""

    template_fields: ClassVar[Collection[str]] = ("op_args", "op_kwargs", "templates_dict")

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        templates_dict: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.python_callable = python_callable
        self.op_args = op_args or ()
        self.op_kwargs = op_kwargs or {}
        self.templates_dict = templates_dict

    def execute(self, context: Any) -> Any:
        given = dict(context) | {"templates_dict": self.templates_dict} | dict(self.op_kwargs)
        parameters = inspect.signature(self.python_callable).parameters.values()
        by_position = [
            each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        taken = set(by_position[: len(self.op_args)])
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            given = {each.name: given[each.name] for each in parameters if each.name in given}
        given |= self.op_kwargs  # a name that the function does not have makes the call below fail
        return self.python_callable(*self.op_args, **{name: each for name, each in given.items() if name not in taken})


class SqlExecutable(BaseOperator):
    """Runs SQL in the database of a connection."""

    template_fields: ClassVar[Collection[str]] = ("conn_id", "parameters")
    rendered_later: ClassVar[Collection[str]] = ("sql",)

    def __init__(
        self,
        *,
        sql: str | Sequence[str],
        conn_id: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        autocommit: bool = False,
        split_statements: bool = True,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.sql = sql
        self.conn_id = conn_id
        self.parameters = parameters
        self.autocommit = autocommit
        self.split_statements = split_statements

    def execute(self, context: Any) -> Any:
        return run_sql(
            self.sql,
            connection=self.conn_id,
            parameters=self.parameters,
            autocommit=self.autocommit,
            split=self.split_statements,
        )


class PapermillExecutable(BaseOperator):
    """Executes a notebook by papermill."""

    template_fields: ClassVar[Collection[str]] = ("input_nb", "output_nb", "parameters", "kernel_name")

    def __init__(
        self,
        *,
        input_nb: str,
        output_nb: str,
        parameters: Mapping[str, Any] | None = None,
        kernel_name: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.input_nb = input_nb
        self.output_nb = output_nb
        self.parameters = parameters
        self.kernel_name = kernel_name

    def execute(self, context: Any) -> Any:
        return run_papermill(self.input_nb, self.output_nb, parameters=self.parameters, kernel_name=self.kernel_name)


class FileSensorExecutable(BaseSensorOperator):
    """Waits until a file exists."""

    template_fields: ClassVar[Collection[str]] = ("filepath",)

    def __init__(
        self, *, filepath: str, fs_conn_id: str = "fs_default", recursive: bool = False, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.filepath = filepath
        self.fs_conn_id = fs_conn_id
        self.recursive = recursive

    def poke(self, context: Any) -> Any:
        connection = None if self.fs_conn_id == "fs_default" else self.fs_conn_id
        return file_exists(self.filepath, connection=connection, recursive=self.recursive)
