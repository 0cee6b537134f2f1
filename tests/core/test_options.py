"""Each option declares whether it affects a task's result; the cache key and partial runs follow."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest

from nbdag.core.model.dag import Task
from nbdag.core.model.job import Job, Key
from nbdag.core.options.declaration import Option, options_of
from nbdag.core.options.options import OPTIONS, RESULT_OPTIONS, TaskOptions
from nbdag.core.planning.cache_key import cache_key

OTHER_VALUES: dict[type, Any] = {int: 7, float: 7.0, str: "other", tuple: ("x",), type(None): "x > 1"}


def another_value(option: Option) -> Any:
    default = getattr(TaskOptions(), option.field)
    if option.field == "resources":
        return (("gpu", 1.0),)
    if option.field == "map":
        return (("x", "xs"),)
    return not default if isinstance(default, bool) else OTHER_VALUES[type(default)]


def key_with(options: TaskOptions) -> str:
    task = Task(id="train", cell=0, options=options, code="model = 1")
    job = Job(
        key=Key(dag="churn", run="r1", task="train"), task=task, path="", values="", cwd="", kernel_name="python3"
    )
    return cache_key(job, {}, "3.11")


def test_the_options_that_affect_a_result_are_known() -> None:
    assert set(RESULT_OPTIONS) == {
        "when",
        "check",
        "operator",
        "out",
        "change",
        "map",
        "zip",
        "in_step",
        "operator_options",
    }


def test_every_field_of_the_task_options_declares_whether_it_affects_the_result() -> None:
    assert [*(option.field for option in OPTIONS["task"]), "operator_options"] == [
        each.name for each in fields(TaskOptions)
    ]


@pytest.mark.parametrize("metadata", [None, {"help": "an option", "group": "Values"}])
def test_an_option_that_does_not_declare_it_is_rejected(metadata: dict[str, str] | None) -> None:
    @dataclass(frozen=True, kw_only=True)
    class WithNewOption(TaskOptions):
        quality: int = field(default=0, metadata=metadata)

    with pytest.raises(TypeError, match=r"WithNewOption.quality does not declare affects_result"):
        options_of(WithNewOption)


@pytest.mark.parametrize("option", OPTIONS["task"], ids=lambda option: option.field)
def test_an_option_changes_the_cache_key_if_it_affects_the_result(option: Option) -> None:
    changed = replace(TaskOptions(), **{option.field: another_value(option)})
    in_element = option.field in ("map", "zip", "in_step")  # an instance's element is in the key instead
    assert (key_with(changed) != key_with(TaskOptions())) is (option.affects_result and not in_element)
