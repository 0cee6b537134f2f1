"""Templates: values, strictness, the sandbox."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from nbdag.errors import NbdagError
from nbdag.secrets.sources import BackendError
from nbdag.task_api.context import DagRun
from nbdag.templates import TemplateError, context_of, is_template, read_template, render, render_nested, render_pieces
from nbdag.templates.names import Pull
from nbdag.templates.quoting import UnsafeValueError, shell, sql, url

RUN = DagRun.of(
    {
        "dag_id": "churn",
        "run_id": "scheduled__1",
        "task_id": "load",
        "logical_date": "2026-01-31T06:30:00+00:00",
        "data_interval_start": "2026-01-30T06:30:00+00:00",
        "data_interval_end": "2026-01-31T06:30:00+00:00",
        "params": {"alpha": 0.5, "name": "Zoë", "ids": [1, 2]},
    }
)
PULLED = {("a", "return_value"): 7, ("a", "rows"): [1, 2]}
TI = SimpleNamespace(
    task_id="load", try_number=1, xcom_pull=lambda task_ids, key="return_value": PULLED[(task_ids, key)]
)


def _variable(name):
    values = {"bucket": "s3://lake", "limits": '{"rows": 5}'}
    if name not in values:
        raise NbdagError(f"no variable {name!r}; set AIRFLOW_VAR_{name.upper()}")
    return values[name]


CONTEXT = context_of(RUN, ti=TI, variable=_variable, connection=lambda name: SimpleNamespace(host=f"{name}.example"))

AS_IN_AIRFLOW = [
    ("{{ ds }}", "2026-01-31"),
    ("{{ ds_nodash }}", "20260131"),
    ("{{ ts }}", "2026-01-31T06:30:00+00:00"),
    ("{{ ts_nodash }}", "20260131T063000"),
    ("{{ ts_nodash_with_tz }}", "20260131T063000+0000"),
    ("{{ logical_date }}", "2026-01-31 06:30:00+00:00"),
    ("{{ data_interval_start }}", "2026-01-30 06:30:00+00:00"),
    ("{{ data_interval_start | ds }}", "2026-01-30"),
    ("{{ data_interval_end | ts_nodash }}", "20260131T063000"),
    ("{{ logical_date.strftime('%d/%m') }}", "31/01"),
    ("{{ logical_date.add(months=1) | ds }}", "2026-02-28"),
    ("{{ logical_date.subtract(days=31).to_date_string() }}", "2025-12-31"),
    ("{{ logical_date.start_of('week') | ds }}", "2026-01-26"),
    ("{{ logical_date.end_of('month').to_datetime_string() }}", "2026-01-31 23:59:59"),
    ("{{ logical_date.in_timezone('Europe/Paris').hour }}", "7"),
    ("{{ run_id }} {{ dag_run.run_id }}", "scheduled__1 scheduled__1"),
    ("{{ dag.dag_id }}.{{ task.task_id }} {{ ti.try_number }}", "churn.load 1"),
    ("{{ task_instance_key_str }}", "churn__load__20260131"),
    ("{{ params.alpha }} {{ params['name'] }}", "0.5 Zoë"),
    ("{{ params.get('beta', 3) }}", "3"),
    ("{{ params | length }}", "3"),
    ("{{ var.value.bucket }}/{{ ds }}", "s3://lake/2026-01-31"),
    ("{{ var.json.limits.rows }}", "5"),
    ("{{ var.value.get('none', 'x') }}", "x"),
    ("{{ conn.db.host }}", "db.example"),
    ("{{ ti.xcom_pull('a') }} {{ task_instance.xcom_pull(task_ids='a', key='rows') }}", "7 [1, 2]"),
    ("{{ macros.ds_add(ds, -31) }}", "2025-12-31"),
    ("{{ macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%Y') }}", "31.01.2026"),
    ("{{ (logical_date - macros.timedelta(hours=7)).isoformat() }}", "2026-01-30T23:30:00+00:00"),
    ("{{ macros.datetime(2026, 1, 1) | ds }}", "2026-01-01"),
    ("{{ macros.json.dumps({'a': 1}) }}", '{"a": 1}'),
    ("{{ (macros.dateutil.parser.parse('5 Jan 2026')) | ds }}", "2026-01-05"),
    ("{% for n in params.ids %}[{{ n }}]{% endfor %}", "[1][2]"),
    ("{% if params.alpha > 1 %}a{% else %}b{% endif %}\n", "b\n"),
    ("{{ beta | default('none') }}", "none"),
    ("{{ params | tojson }}", '{"alpha": 0.5, "name": "Zo\\u00eb", "ids": [1, 2]}'),
    ("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice(params.name) }}", "ZoëZoë"),
    ("{% set x %}<{{ ds }}>{% endset %}{{ x }}", "<2026-01-31>"),
    ("{{ None | ds }}", "None"),
    ("echo ${#array[@]} {{ ds }} ${#name}", "echo ${#array[@]} 2026-01-31 ${#name}"),
    ("{{ '{{' }} {% raw %}{{ ds }}{% endraw %}", "{{ {{ ds }}"),
    ("{# a comment #}{{ ds }}", "2026-01-31"),
]


@pytest.mark.parametrize(("text", "rendered"), AS_IN_AIRFLOW)
def test_a_template_has_airflows_names_macros_and_filters(text, rendered):
    assert render(text, CONTEXT) == rendered


WRONG = [
    ("a\n{{ dss }}", 2, "unknown name 'dss'; did you mean ds?"),
    ("{{ execution_date }}", 1, "unknown name 'execution_date'; write logical_date"),
    ("{{ yesterday_ds }}", 1, "macros.ds_add(ds, -1)"),
    ("\n\n{{ params.alpah }}", 3, "params has no 'alpah'; did you mean alpha?"),
    ("{{ macros.ds_ad(ds, 1) }}", 1, "did you mean ds_add?"),
    ("{{ ds | dsnodash }}", 1, "unknown filter 'dsnodash'; did you mean ds_nodash?"),
    ("\n{{ ds", 2, "unexpected end of template"),
    ("{% if ds %}", 1, "endif"),
    ("{{ var.value.nothing }}", 1, "no variable 'nothing'; set AIRFLOW_VAR_NOTHING"),
    ("{{ 1 / 0 }}", 1, "ZeroDivisionError"),
    ("{{ ds.__class__.__mro__ }}", 1, "unsafe"),
    ("{{ ti.xcom_pull.__globals__ }}", 1, "unsafe"),
    ("{{ params.ids.append(3) }}", 1, "unsafe"),
    ("{{ macros.uuid.os.system('true') }}", 1, "has no 'os'"),
]


@pytest.mark.parametrize(("text", "line", "message"), WRONG)
def test_an_error_names_the_line_and_the_next_step(text, line, message):
    with pytest.raises(TemplateError) as caught:
        render(text, CONTEXT, what="the script")
    assert str(caught.value).startswith(f"the script, line {line}: ")
    assert message in str(caught.value)


def test_a_missing_context_value_is_not_the_text_undefined():
    with pytest.raises(TemplateError, match="cannot be looked up"):
        render("{{ conn.db.host }}", context_of(RUN))


def test_a_failed_backend_is_no_missing_variable():
    def variable(name):
        raise BackendError("vault", name, "it is sealed")

    with pytest.raises(TemplateError, match="the secrets backend 'vault' failed for 'bucket'"):
        render("{{ var.value.get('bucket', 'x') }}", context_of(RUN, variable=variable))


def test_collections_are_rendered_inside():
    value = {"day": "{{ ds }}", "many": ["{{ params.alpha }}", 3, ("{{ ds }}",)], "other": None}
    expected = {"day": "2026-01-31", "many": ["0.5", 3, ("2026-01-31",)], "other": None}
    assert render_nested(value, CONTEXT) == expected


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("{{ ds }}", True),
        ("{% if x %}a{% endif %}", True),
        ("{%- set x = 1 -%}", True),
        ("printf '{%s}'", False),
        ("${#array[@]}", False),
        ("awk '{print $1}'", False),
        (5, False),
    ],
)
def test_only_text_with_templates_is_a_template(text, is_one):
    assert is_template(text) is is_one


def test_the_names_of_a_template_are_known_without_rendering():
    text = (
        "{{ ds }} {{ params.alpha }}\n{{ params['name'] }} {{ params.get('x') }} {{ params.y | default(1) }}\n"
        "{{ ti.xcom_pull('a') }} {{ ti.xcom_pull(task_ids=['b', 'c'], key='rows') }} {{ ti.xcom_pull(ds) }}\n"
        "{{ conn.db.host }} {{ var.value.bucket }} {{ var.json.limits.rows }}"
    )
    found = read_template(text)
    assert found.params == (("alpha", 1), ("name", 2))
    assert found.pulls == (
        Pull(task="a", key=None, line=3),
        Pull(task="b", key="rows", line=3),
        Pull(task="c", key="rows", line=3),
        Pull(task=None, key=None, line=3),
    )
    assert found.connections == ("db",)
    assert set(found.variables) == {"bucket", "limits"}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [each for each in WRONG if each[0] in ("a\n{{ dss }}", "\n{{ ds", "{{ ds | dsnodash }}", "{{ execution_date }}")],
)
def test_static_errors_are_found_without_rendering(text, line, message):
    with pytest.raises(TemplateError) as caught:
        read_template(text, what="the script")
    assert str(caught.value).startswith(f"the script, line {line}: ") and message in str(caught.value)


HOSTILE = [
    "it's",
    '"quoted"',
    "a b  c",
    "; echo pwned",
    "$(echo pwned)",
    "`echo pwned`",
    "${HOME}",
    "$HOME",
    "a\nb",
    "a\tb",
    "\\",
    "\\'",
    '\\"',
    "'; DROP TABLE t; --",
    "' OR '1'='1",
    "1 OR 1=1",
    "--",
    "/* x */",
    "{{ ds }}",
    "{% raw %}",
    "{# x #}",
    "{name}",
    "%s %(x)s %%",
    ":name",
    "a:b",
    "?",
    "*",
    "~",
    "~root",
    "!x",
    "!!",
    "#x",
    "&& echo pwned",
    "| echo pwned",
    "> file",
    "<<EOF\nx\nEOF",
    "<(echo pwned)",
    "$((1+1))",
    "$'\\x41'",
    "a[$(echo pwned)]",
    "()",
    "{a,b}",
    "[a-z]",
    "é ü 漢字 🎉",
    "\ue000-0\ue001",
    "\u2028",
    "-n",
    "--help",
    "",
    "\r\n",
    "'\"'\"'",
    "\\n",
    "%0a%00",
    "../../etc/passwd",
    "null",
]


def _context(value):
    return {**CONTEXT, "params": {"x": value}}


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_arrives_in_bash_as_data(value):
    """The value is printed in plain code, in double quotes and in single quotes, alone and beside other text."""
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    places = [
        "{{ params.x }}",
        '"{{ params.x }}"',
        "'{{ params.x }}'",
        '"<{{ params.x }}>"',
        "'<{{ params.x }}>'",
        "'a'\"{{ params.x }}\"'b'",
    ]
    script = "\n".join(f"printf '%s\\0' {place}  # it's" for place in places)
    made = shell(render_pieces(script, _context(value)))
    done = subprocess.run(
        ["bash", "-e", "-c", made.text], env={"HOME": "/nowhere", **made.values}, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split("\0")[:-1] == [value, value, value, f"<{value}>", f"<{value}>", f"a{value}b"]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_arrives_in_sql_as_data(value):
    text = "SELECT {{ params.x }}, '{{ params.x }}', '<{{ params.x }}>''s', 'it''s' -- {{ params.x }}\n"
    made = sql(render_pieces(text, _context(value)))
    with sqlite3.connect(":memory:") as database:
        row = database.execute(made.text, made.values).fetchone()
    assert row == (value, value, f"<{value}>'s", "it's")


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_arrives_in_a_url_and_in_json_as_data(value):
    from urllib.parse import parse_qs, urlsplit

    made = url(render_pieces("https://h/p/{{ params.x }}?q={{ params.x }}&z=1", _context(value)))
    parts = urlsplit(made)
    assert parts.netloc == "h"
    assert parse_qs(parts.query, keep_blank_values=True) == {"q": [value], "z": ["1"]}
    assert json.loads(render("{{ params.x | tojson }}", _context(value))) == value
    assert render("{{ params.x }}", _context(value)) == value  # a value is not rendered again


REFUSED_IN_BASH = [
    "`echo {{ params.x }}`",
    "cat <<EOF\n{{ params.x }}\nEOF",
    "echo $(( {{ params.x }} ))",
    "[[ {{ params.x }} -eq 1 ]]",
    "eval echo {{ params.x }}",
    "bash -c 'echo {{ params.x }}'",
    "echo $'{{ params.x }}'",
    '"$(echo {{ params.x }})"',
    "[ -v {{ params.x }} ]",
    "compgen -W {{ params.x }}",
    "PS4={{ params.x }}; set -x",
    "if test 1 -a -v {{ params.x }}; then echo; fi",
]


@pytest.mark.parametrize("text", REFUSED_IN_BASH)
def test_bash_gets_no_value_where_it_would_evaluate_it(text):
    with pytest.raises(UnsafeValueError, match="cannot be passed as data below"):
        shell(render_pieces(text, _context("a[$(echo pwned)]")))
    assert "20260131" in shell(render_pieces(text, _context("20260131"))).text  # a harmless value is inserted


ARITHMETIC_IN_BASH = [
    "echo ${arr[{{ params.x }}]}",
    'echo "${arr[{{ params.x }}]}"',
    "echo ${s:{{ params.x }}}",
    'echo "${s:0:{{ params.x }}}"',
    "a[{{ params.x }}]=3",
    "a['{{ params.x }}']=3",
    "a[b[0] + {{ params.x }}]=3",
    "a=([{{ params.x }}]=3)",
    "a=(1 2 [{{ params.x }}]=3)",
    "echo $[ {{ params.x }} ]",
    "echo $(( {{ params.x }} + 1 ))",
    "[[ {{ params.x }} -eq 1 ]]",
    "[[ 1 -lt {{ params.x }} ]]",
    "let n={{ params.x }}",
]


@pytest.mark.parametrize("text", ARITHMETIC_IN_BASH)
def test_arithmetic_of_bash_gets_only_integers(text):
    for value in ("a[$(echo pwned)]", "HOME", "NBDAG_VALUE_1", "1+x"):
        with pytest.raises(UnsafeValueError, match="cannot be passed as data below"):
            shell(render_pieces(text, _context(value)))
    assert shell(render_pieces(text, _context("-12"))).text == text.replace("{{ params.x }}", "-12")


RUN_BY_ANOTHER_SHELL = [
    "bash -e -c 'echo {{ params.x }}'",
    "bash -o pipefail -c 'echo {{ params.x }}'",
    "/bin/sh -ec 'echo {{ params.x }}'",
    "su - me -c 'echo {{ params.x }}'",
    "ssh host 'echo {{ params.x }}'",
    "echo \\{{ params.x }}",
]


@pytest.mark.parametrize("text", RUN_BY_ANOTHER_SHELL)
def test_another_shell_gets_no_value_in_its_script(text):
    with pytest.raises(UnsafeValueError, match="cannot be passed as data below"):
        shell(render_pieces(text, _context("; echo pwned")))


ACCEPTED_IN_BASH = [
    "set -e; {}",
    "bash -e run.sh {}",
    "./run.sh -c {}",
    "cat ~/.ssh/config; {}",
    'for f in "${{files[@]}}"; do {}; done',
    'echo "${{arr[0]}} ${{s:1}} ${{s:-x}}"; {}',
    'if [ "$n" = 1 ]; then {}; fi',
    "echo -e '\\033[31m'; {}",
    "# load {{{{ ds }}}}, don't cache\n{}",
    "# load {{{{ params.x }}}}, don't cache\n{}",
    "x={{{{ params.x }}}}#'\n'; {}",
]


@pytest.mark.parametrize("text", ACCEPTED_IN_BASH)
def test_other_constructs_of_bash_get_any_value(text):
    made = shell(render_pieces(text.format('echo "{{ params.x }}"'), _context("it's; x")))
    name = list(made.values)[-1]
    assert f'echo "${{{name}}}"' in made.text
    assert set(made.values.values()) == {"it's; x"}


def test_safe_pastes_a_value_as_text_of_the_author():
    made = shell(render_pieces("{{ params.x | safe }} {{ params.x }}", _context("ls -l")))
    assert made.text.startswith("ls -l ") and list(made.values.values()) == ["ls -l"]


SQL = [
    (
        "SELECT * FROM {{ params.x }} WHERE day = '{{ ds }}'",
        "sales.orders",
        "SELECT * FROM sales.orders WHERE day = :nbdag_1",
        ["2026-01-31"],
    ),
    ("CREATE TABLE orders_{{ params.x }} (n int)", 2026, "CREATE TABLE orders_2026 (n int)", []),
    ("SELECT {{ params.x }} + 1", 4, "SELECT :nbdag_1 + 1", [4]),
    ("SELECT 1 WHERE n IN {{ params.x }}", [1, 2], "SELECT 1 WHERE n IN (:nbdag_1, :nbdag_2)", [1, 2]),
    ("SELECT 1 WHERE n IN ({{ params.x }})", [1], "SELECT 1 WHERE n IN (:nbdag_1)", [1]),
    ('SELECT "{{ params.x }}"', "a b", 'SELECT "a b"', []),
    ("SELECT :nbdag_1, {{ params.x }}", 4, "SELECT :nbdag_1, :nbdag__1", [4]),
    ("SELECT $$ ' $$, $a$ $$ ' $a$, {{ params.x }}", 4, "SELECT $$ ' $$, $a$ $$ ' $a$, :nbdag_1", [4]),
]


@pytest.mark.parametrize(("text", "value", "statement", "values"), SQL)
def test_sql_binds_values_and_inserts_names(text, value, statement, values):
    made = sql(render_pieces(text, _context(value)))
    assert (made.text, list(made.values.values())) == (statement, values)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM {{ params.x }}",
        "SELECT * FROM a_{{ params.x }}",
        'SELECT "{{ params.x }}"',
        "SELECT * FROM s.{{ params.x }}",
        "SELECT $$ it's {{ params.x }} $$",
        "DO $body$ BEGIN {{ params.x }} END $body$",
    ],
)
def test_sql_rejects_a_value_that_is_no_name_where_a_name_belongs(text):
    with pytest.raises(UnsafeValueError):
        sql(render_pieces(text, _context('t"; DROP TABLE t; --')))


def test_moments_are_dates_of_python():
    moment = CONTEXT["logical_date"]
    assert isinstance(moment, datetime) and moment == datetime(2026, 1, 31, 6, 30, tzinfo=UTC)
