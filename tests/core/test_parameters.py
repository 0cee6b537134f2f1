"""Parameters: their schemas from a parameters cell, and the values that the schemas allow."""

from __future__ import annotations

import ast
import math
import pickle
from typing import Any

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.core.cells.describe import describe
from nbdag.core.cells.kernel_values import KernelCode, kernel_values
from nbdag.core.cells.parameter_schema import read_parameters, rules_text, schema_of, type_text
from nbdag.core.cells.parameter_types import FromText, ParameterRuleError, ParameterTypeError, resolve
from nbdag.notebooks import read_cells


def schemas(code: str) -> dict[str, dict[str, Any]]:
    return {name: each.schema for name, each in read_parameters(ast.parse(code), code).items()}


def schema(code: str) -> dict[str, Any]:
    """The schema of x, without what is in every one."""
    return {key: each for key, each in schemas(code)["x"].items() if key not in ("default", "x-annotation")}


ENUM = "class Mode(Enum):\n    FAST = 'fast'\n    SLOW = 'slow'\n"
NUMBER, TEXT = {"type": "number"}, {"type": "string"}
SCHEMAS = [
    ("x = 1", {}),
    ("x: int = 1", {"type": "integer"}),
    ("x: 'float' = 1", NUMBER),
    ("x: str | None = None", {"anyOf": [TEXT, {"type": "null"}]}),
    ("x: Optional[float] = 1.0", {"anyOf": [NUMBER, {"type": "null"}]}),
    ("x: typing.Union[int, str, None] = 1", {"anyOf": [{"type": "integer"}, TEXT, {"type": "null"}]}),
    ("x: Literal['EU', 'US'] = 'EU'", {"enum": ["EU", "US"]}),
    ("x: list[int] = []", {"type": "array", "items": {"type": "integer"}}),
    ("x: dict[str, float] = {}", {"type": "object", "additionalProperties": NUMBER}),
    ("x: set[str] = set()", {"type": "array", "uniqueItems": True, "x-python": "set", "items": TEXT}),
    ("x: datetime.date = date(2026, 1, 31)", {"type": "string", "format": "date", "x-python": "date"}),
    ("x: Path = Path('a')", {"type": "string", "format": "path", "x-python": "path"}),
    ("x = date(2026, 1, 31)", {"type": "string", "format": "date", "x-python": "date"}),
    ("x: Any = 1", {}),
    ("x: nbdag.Secret = ''", {"writeOnly": True}),
    ("x: Annotated[str, Secret] = ''", {**TEXT, "writeOnly": True}),
    ("x: DataFrame = None", {}),
    ("x: Annotated[int, Ge(1), Le(9)] = 3", {"type": "integer", "minimum": 1, "maximum": 9}),
    ("x: Annotated[float, Interval(gt=0, lt=1)] = 0.5", {**NUMBER, "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
    ("x: Annotated[str, Len(1, 3), 'a name'] = 'a'", {**TEXT, "minLength": 1, "maxLength": 3, "description": "a name"}),
    ("x: Annotated[list[int], MinLen(2)] = [1, 2]", {"type": "array", "items": {"type": "integer"}, "minItems": 2}),
    ("x: Annotated[str, Field(pattern='[a-z]+', title='t')] = 'a'", {**TEXT, "pattern": "[a-z]+", "title": "t"}),
    ("x: Annotated[str, {'format': 'email'}] = 'a@b.c'", {**TEXT, "format": "email"}),
    ("x: float = 0.5  # in (0, 1]: the rate", {**NUMBER, "exclusiveMinimum": 0, "maximum": 1, "description": "the rate"}),
    ("x: float = 0.5  # in [-1e3, inf)", {**NUMBER, "minimum": -1000.0}),
    ("x = 3  # >= 1, of trees", {"minimum": 1, "description": "of trees"}),
    ("x = 'a'  # one of {'a', 'b'}", {"enum": ["a", "b"]}),
    ("x = 1  # {\"minimum\": 0} of rows", {"minimum": 0, "description": "of rows"}),
    ("x = 1  # in the end (0, 1) it is a comment", {"description": "in the end (0, 1) it is a comment"}),
    ("x = []  # type: list[int] the sizes", {"type": "array", "items": {"type": "integer"}, "description": "the sizes"}),
    ("x = '#'  # a # b", {"description": "a # b"}),
    (f"{ENUM}x: Mode = Mode.FAST", {"enum": ["fast", "slow"], "x-python": "enum:Mode", "x-members": {"FAST": "fast", "SLOW": "slow"}}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), SCHEMAS)
def test_a_parameters_cell_is_read_as_json_schema(code: str, expected: dict[str, Any]) -> None:
    assert schema(code) == expected


DEFAULTS = [
    ("x = 0.5", 0.5),
    ("x = -1", -1),
    ("x = (1, 'é')", [1, "é"]),
    ("x = {'a': [None, True]}", {"a": [None, True]}),
    ("x = {2, 1}", [1, 2]),
    ("x = date(2026, 1, 31)", "2026-01-31"),
    ("x = pathlib.Path('a/b')", "a/b"),
    (f"{ENUM}x: Mode = Mode.SLOW", "slow"),
    ("x = load()", "absent"),
    ("x = b'a'", "absent"),
]


@pytest.mark.parametrize(("code", "expected"), DEFAULTS)
def test_a_default_is_the_value_of_json_if_it_is_known(code: str, expected: Any) -> None:
    assert schemas(code)["x"].get("default", "absent") == expected


NAN = math.nan
ALLOWED = [
    ("x = 1", "text", "text"),
    ("x: int = 1", 3.0, 3),
    ("x: float = 1.0", 3, 3),
    ("x: float = 0.5", None, ParameterRuleError("x", "None", "must be a number")),
    ("x: float = None", None, None),
    ("x: float | None = 0.5", None, None),
    ("x: int = 1", True, ParameterRuleError("x", "True", "must be an integer")),
    ("x: int = 1", 1.5, ParameterRuleError("x", "1.5", "must be an integer")),
    ("x: int = 1", "1", ParameterRuleError("x", "'1'", "must be an integer")),
    ("x: Literal['EU', 'US'] = 'EU'", "EUU", ParameterRuleError("x", "'EUU'", "must be one of 'EU', 'US'", "did you mean 'EU'?")),
    ("x: Literal[1, 2] = 1", True, ParameterRuleError("x", "True", "must be one of 1, 2")),
    ("x: Annotated[int, Ge(1)] = 1", 0, ParameterRuleError("x", "0", "must be at least 1")),
    ("x: float = 0.5  # in (0, 1)", 1, ParameterRuleError("x", "1", "must be less than 1")),
    ("x: float = 0.5  # in (0, 1)", NAN, ParameterRuleError("x", "nan", "must be more than 0")),
    ("x: Annotated[float | None, Ge(0)] = None", -1, ParameterRuleError("x", "-1", "must be at least 0")),
    ("x: Annotated[str, {'pattern': '^[a-z]+$'}] = 'a'", "A1", ParameterRuleError("x", "'A1'", "must match the pattern ^[a-z]+$")),
    ("x: date = date(2026, 1, 1)", "2026-02-30", ParameterRuleError("x", "'2026-02-30'", "must be a date such as 2026-01-31")),
    ("x: date = date(2026, 1, 1)", "2026-02-28", "2026-02-28"),
    ("x: date = date(2026, 1, 1)", 5, ParameterRuleError("x", "5", "must be a date such as 2026-01-31")),
    ("x: list[int] = [1]", [1, "2"], ParameterRuleError("x[1]", "'2'", "must be an integer")),
    ("x: dict[str, int] = {}", {"password": "hidden"}, ParameterRuleError("x['password']", "'***'", "must be an integer")),
    ("x: dict[str, int] = {}", {"é": None}, ParameterRuleError("x['é']", "None", "must be an integer")),
    ("x: tuple[int, str] = (1, 'a')", [1], ParameterRuleError("x", "[1]", "must have at least 2 elements")),
    ("x: set[int] = {1}", [1, 1], ParameterRuleError("x", "[1, 1]", "must have no element twice")),
    ("x: Annotated[float, MultipleOf(0.1)] = 0.1", 0.3, 0.3),
    ("x: Annotated[dict, {'properties': {'rate': {}}, 'additionalProperties': False}] = {}", {"rat": 1}, ParameterRuleError("x", "{'rat': 1}", "must not have the key 'rat'", "did you mean 'rate'?")),
    ("x: int | str = 1", [1], ParameterRuleError("x", "[1]", "must be an integer or text")),
    (f"{ENUM}x: Mode = Mode.FAST", "slow", "slow"),
    (f"{ENUM}x: Mode = Mode.FAST", "SLOW", "slow"),
    (f"{ENUM}x: Mode = Mode.FAST", "quick", ParameterRuleError("x", "'quick'", "must be one of 'fast', 'slow', 'FAST', 'SLOW'")),
    ("x = [1]", "1", ParameterTypeError("x", "list", "1")),
    ("x = [1]", [2], [2]),
    ("x = [1]", None, None),
    ("x = {}", {"a": 1}, {"a": 1}),
    ("x = True", 1, ParameterTypeError("x", "bool", 1)),
    ("x = True", None, None),
    ("x: bool | str = True", "auto", "auto"),
    ("x: object = True", "auto", "auto"),
    ("x = True  # one of {True, 'auto'}", "auto", "auto"),
    ("password: int = 1", "secret", ParameterRuleError("password", "***", "must be an integer")),
]  # fmt: skip


@pytest.mark.parametrize(("code", "given", "expected"), ALLOWED)
def test_a_value_keeps_the_rules_or_is_refused_in_one_sentence(code: str, given: Any, expected: Any) -> None:
    found = read_parameters(ast.parse(code), code)
    (name,) = found
    defaults = {name: found[name].default}
    if isinstance(expected, Exception):
        with pytest.raises(type(expected)) as caught:
            resolve({name: found[name].schema}, defaults, {name: given})
        assert str(caught.value) == str(expected)
    else:
        made = resolve({name: found[name].schema}, defaults, {name: given})[name]
        assert (made, type(made)) == (expected, type(expected))


TEXTS = [
    ("x = 1", "5", 5),
    ("x = 1", "True", True),
    ("x = 1", "text", "text"),
    ("x: str = ''", "1.10", "1.10"),
    ("x: str = ''", "None", "None"),
    ("x: str | None = None", "None", None),
    ("x: str | None = None", "007", "007"),
    ("x: float = 1.0", "nan", NAN),
    ("x: int | str = 1", "5", 5),
    ("x: bool = False", "true", True),
    ("x: bool = False", "no", False),
    ("x = True", "false", False),
    ("x = None", "false", "false"),
    ("x: object = True", "false", "false"),
    ("x: list[int] = []", "[1, 2]", [1, 2]),
    ("x: dict = {}", "{a: [1, null]}", {"a": [1, None]}),
    ("x: Literal['1', '2'] = '1'", "2", "2"),
    ("x: date = date(2026, 1, 1)", "2026-01-31", "2026-01-31"),
    (f"{ENUM}x: Mode = Mode.FAST", "SLOW", "slow"),
]


@pytest.mark.parametrize(("code", "text", "expected"), TEXTS)
def test_the_declared_type_decides_what_a_text_means(code: str, text: str, expected: Any) -> None:
    made = resolve(schemas(code), {}, {"x": FromText(text)})["x"]
    assert repr(made) == repr(expected) and type(made) is type(expected)


KERNEL = [
    ("x: date = date(2026, 1, 1)", "2026-01-31", "__import__('datetime').date.fromisoformat('2026-01-31')"),
    ("x: datetime | None = None", "2026-01-31T06:00", "__import__('datetime').datetime.fromisoformat('2026-01-31T06:00')"),
    ("x: datetime | None = None", None, None),
    ("x: Path = Path('a')", "b/é", "__import__('pathlib').Path('b/é')"),
    ("x = (1, 2)", [1, None], "(1, None)"),
    ("x = (1, 2)", [math.inf], "(float('inf'),)"),
    ("x: set[int] = set()", [], "set()"),
    ("x: list[date] = []", ["2026-01-31"], "[__import__('datetime').date.fromisoformat('2026-01-31')]"),
    ("x: dict[str, Path] = {}", {"a": "b"}, "{'a': __import__('pathlib').Path('b')}"),
    (f"{ENUM}x: Mode = Mode.FAST", "slow", "Mode.SLOW"),
    ("x: list[int] = []", [1], None),
    ("x: str = ''", "2026-01-31", None),
]  # fmt: skip


@pytest.mark.parametrize(("code", "value", "expected"), KERNEL)
def test_the_kernel_gets_values_that_json_does_not_have_as_code(code: str, value: Any, expected: str | None) -> None:
    made = kernel_values(schemas(code), {"x": value})["x"]
    if expected is None:
        assert made == value and not isinstance(made, KernelCode)
    else:
        assert isinstance(made, KernelCode) and made.code == expected
        assert pickle.loads(pickle.dumps(made)).code == expected


def read(code: str) -> Any:
    return read_cells([RawCell(f"%%params\n{code}"), RawCell("%%task a\nb = 1")], name="n.ipynb")


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("x: int = 'a'", ("NB118", 2, "the default of the parameter x must be an integer")),
        ("y = 1\nx: float = 2  # in (0, 1)", ("NB118", 3, "the default of the parameter x must be less than 1")),
        ("x: Annotated[int, {'contains': 1}] = 1", ("NB119", 2, "nbdag does not check 'contains' of the parameter x")),
        (
            'x = \'a\'  # {"pattern": "["}',
            (
                "NB118",
                2,
                "pattern of the parameter x is '[', but must be a regular expression (unterminated character set at position 0)",
            ),
        ),
        ('x = 1  # {"minimum": "0"}', ("NB118", 2, "minimum of the parameter x is '0', but must be a number")),
        (
            "x: str = 'a'  # {\"minLength\": null}",
            ("NB118", 2, "minLength of the parameter x is None, but must be an integer"),
        ),
        ("x: int = None", None),
        ("x: int = load()", None),
    ],
)
def test_check_reports_a_default_that_breaks_its_rule(code: str, found: tuple[str, int, str] | None) -> None:
    seen = [
        (each.code, each.place and each.place.line, each.message) for each in read(code).problems if each.code < "NB2"
    ]
    assert seen == ([found] if found else [])


def test_a_cell_that_papermill_has_injected_keeps_the_rules() -> None:
    cells = [RawCell("%%params\nx: int = 1  # >= 0"), RawCell("# Parameters\nx = 5\n", tags=("injected-parameters",))]
    dag = read_cells([*cells, RawCell("%%task a\ny = x")], name="n.ipynb")
    assert dag.parameter_schemas["x"] == {"type": "integer", "minimum": 0, "x-annotation": "int", "default": 5}


def test_help_and_json_come_from_the_same_schema() -> None:
    dag = read("alpha: float = 0.5  # in (0, 1]: the rate\npassword: str = 'hunter22'\nmode: Literal['a', 'b'] = 'a'")
    properties = describe(dag)["dag"]["parameter_schema"]["properties"]
    assert properties == schema_of(dag.parameter_schemas)["properties"]
    assert properties["alpha"]["exclusiveMinimum"] == 0 and properties["alpha"]["description"] == "the rate"
    assert properties["password"]["default"] == "***" and properties["password"]["writeOnly"]
    assert (type_text(properties["alpha"]), rules_text(properties["alpha"])) == ("float", "more than 0, at most 1")
    assert (type_text(properties["mode"]), rules_text(properties["mode"])) == ("Literal['a', 'b']", "")
