import keyword
import string
from dataclasses import fields
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag.core.cells import header as headers
from nbdag.core.cells.header import OPTIONS, Header, HeaderError, parse
from nbdag.core.model import weights
from nbdag.core.options import option_types
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.core.planning import triggers

# -- parse, then format, then parse ------------------------------------------------------------------------------------

ids = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
names = st.text(string.ascii_letters + "_é", min_size=1, max_size=8).filter(
    lambda text: text.isidentifier() and not keyword.iskeyword(text)
)
durations = st.one_of(st.integers(0, 10**7).map(float), st.floats(0, 10**6))
line_text = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], codec="utf-8"), min_size=1, max_size=20)
expressions = st.one_of(
    names,
    st.builds("{} >= {}".format, names, st.floats(0, 1)),
    st.builds("len({}) == {!r}".format, names, line_text),
    st.builds("{}['a b'] != \"it's\"".format, names),
)
dates = st.one_of(
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)),
    st.dates(date(1900, 1, 1), date(2999, 12, 31)).map(lambda day: datetime(day.year, day.month, day.day)),
    st.datetimes(
        datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(timezone(timedelta(hours=5, minutes=45)))
    ),
)


def unique(of):
    return st.lists(of, min_size=1, max_size=3, unique=True).map(tuple)


VALUES = {
    option_types.FLAG: st.booleans(),
    option_types.TEXT: line_text,
    option_types.TEXTS: unique(st.builds("mailto://{}".format, line_text) | st.builds("{}:{}".format, names, names)),
    option_types.TAGS: unique(line_text.filter(lambda text: "," not in text)),
    option_types.DURATION: durations,
    option_types.POSITIVE_DURATION: durations.filter(bool),
    option_types.TIMEOUT: st.none() | durations.filter(bool),
    option_types.FACTOR: st.none() | st.floats(1, 1000),
    option_types.NAME: ids,
    option_types.OPERATOR: ids,
    option_types.TASKS: unique(ids),
    option_types.VARIABLES: unique(names),
    option_types.EXPRESSIONS: unique(expressions),
    option_types.CONDITION: expressions,
    option_types.MAPS: st.dictionaries(names, expressions, min_size=1, max_size=3).map(
        lambda pairs: tuple(pairs.items())
    ),
    option_types.EDGE_LABELS: unique(st.tuples(ids, st.sampled_from(["yes", "no errors", "it's = 1"]))),
    option_types.ERRORS: unique(st.sampled_from(["ConnectionError", "requests.HTTPError", "a.b.C"])),
    option_types.ASSETS: unique(st.sampled_from(["s3://lake/orders", "file:///data/a.csv", "orders"])),
    option_types.RESOURCES: unique(
        st.tuples(
            st.sampled_from(["gpu", "memory", "disk", "fpga.x"]),
            st.floats(0.001, 1e15) | st.sampled_from([1.0, 8e9, 512e6, 1.5e9, 2.0**30]),
        )
    ),
    option_types.REQUIREMENTS: unique(
        st.sampled_from(
            ["pandas==3.1", "polars[all]>=1,<2", "x @ https://a.b/x.whl", "requirements.lock", "a b/uv.lock"]
        )
    ),
    option_types.PATHS: unique(st.sampled_from(["lib/", "sql/*.sql", "my data.csv", "a/b.py"])),
    option_types.QUESTION: st.sampled_from(["Ship {accuracy:.1%}?", "Is 'it' ready?"]).map(option_types.QUESTION.read),
    option_types.DEADLINE: st.none() | st.sampled_from(["08:00", "23:59", "+2h", "+1h30m", "+0.5s"]),
    option_types.DATE: st.none() | dates,
    option_types.ZONE: st.sampled_from(["UTC", "Europe/Riga", "Australia/Lord_Howe"]),
    option_types.SCHEDULE: st.none()
    | st.sampled_from(["0 6 * * *", "@daily", "every 15m", "*/5 0-3 1,15 * MON-FRI", "@once"]),
    option_types.ATTACHMENT: st.sampled_from(list(option_types.ATTACHMENT.choices())),
    option_types.TRIGGER: st.sampled_from(list(option_types.TRIGGER.choices())),
    option_types.WEIGHT: st.sampled_from(list(option_types.WEIGHT.choices())),
}


def values_of(option):
    return VALUES.get(option.kind, st.integers(1, 10**9))


@st.composite
def headers_that_say(draw):
    kind = draw(st.sampled_from(["task", "task", "dag", "dag", "edges", "nbdag", "setup", "params", "skip"]))
    if kind == "edges":
        return Header(kind=kind, edges=draw(unique(st.tuples(ids, ids))))
    if kind == "nbdag":
        return Header(kind=kind, rest=draw(line_text).strip())
    said, defaults = {}, {}
    for option in draw(st.lists(st.sampled_from(OPTIONS[kind]), max_size=6, unique=True)) if kind in OPTIONS else ():
        (defaults if option.is_default else said)[option.field] = draw(values_of(option))
    if defaults:
        said["defaults"] = defaults
    start, end = said.get("start_date"), said.get("end_date")
    if start is None:
        said.pop("catchup", None)  # it needs a date to begin at
    if end and (start is None or end.tzinfo != start.tzinfo or end < start):
        del said["end_date"]
    name = draw(ids) if kind == "task" else draw(st.none() | ids) if kind == "dag" else None
    return Header(kind=kind, name=name, options=said, builds=kind == "dag" and draw(st.booleans()))


@pytest.mark.slow
@given(headers_that_say())
def test_a_formatted_header_parses_to_the_same_header(header):
    line = headers.format(header)
    assert "\n" not in line
    assert parse(line) == header
    assert headers.format(parse(line)) == line


@given(st.text(max_size=40), st.sampled_from(list(headers.MAGICS.values())))
def test_any_header_is_parsed_or_rejected_in_one_sentence(text, magic):
    try:
        header = parse(f"{magic} {text}")
    except HeaderError as error:
        assert "\n" not in str(error) or "\n" in text
        assert error.column >= 1
    else:
        assert parse(headers.format(header)) == header


@given(durations)
def test_a_written_duration_reads_as_the_same_duration(seconds):
    assert option_types.read_duration(option_types.write_duration(seconds)) == seconds


# -- what is read ------------------------------------------------------------------------------------------------------

READ = [
    ("%%task a", {}),
    ("%task a", {}),
    ("  %%task a  ", {}),
    ("%%task a # says --retries 2", {}),
    ("%%task a --retries 2", {"retries": 2}),
    ("%%task a --retries=2", {"retries": 2}),
    ("%%task --retries 2 a", {"retries": 2}),
    ("%%task a \\\n  --retries 2 \\\n  --cache", {"retries": 2, "cache": True}),
    ("%%task a --retry_delay 1h30m", {"retry_delay": 5400.0}),
    ("%%task a --branch", {"branch": True}),
    ("%%task a --setup", {"setup": True}),
    ("%%task a --teardown-for b, c --fail-run", {"teardown_for": ("b", "c"), "fail_run": True}),
    ("%%task a --after eu.west", {"after": ("eu.west",)}),
    ("%%task a --retry-on ConnectionError requests.HTTPError", {"retry_on": ("ConnectionError", "requests.HTTPError")}),
    ('%%task a --retry-if "error.errno == 5"', {"retry_if": "error.errno == 5"}),
    ("%%task a --deadline 8:00", {"deadline": "08:00"}),
    ("%%task a --deadline +90m", {"deadline": "+1h30m"}),
    ("%%task a --deadline none", {"deadline": None}),
    ("%dag --deadline +2h", {"deadline": "+2h"}),
    ("%%task a --timeout 90", {"timeout": 90.0}),
    ("%%task a --timeout 0.5s", {"timeout": 0.5}),
    ("%%task a --timeout none", {"timeout": None}),
    ("%%task a --retry-backoff 1.5", {"retry_backoff": 1.5}),
    ("%%task a --priority -3", {"priority": -3}),
    ("%%task a --after b c", {"after": ("b", "c")}),
    ("%%task a --after b,c, d", {"after": ("b", "c", "d")}),
    ("%%task a --after b --after c b", {"after": ("b", "c")}),
    ("%%task a --after=b,c --cache", {"after": ("b", "c"), "cache": True}),
    ("%%task a --no-cache", {"cache": False}),
    ("%%task a --trigger All-Done", {"trigger": "all_done"}),
    ('%%task a --check "accuracy >= 0.9"', {"check": ("accuracy >= 0.9",)}),
    ("%%task a --check accuracy >= 0.9 --cache", {"check": ("accuracy >= 0.9",), "cache": True}),
    ("%%task a --check accuracy>=0.9", {"check": ("accuracy>=0.9",)}),
    ("%%task a --check=accuracy >= 0.9", {"check": ("accuracy >= 0.9",)}),
    ('%%task a --check="x == 1"', {"check": ("x == 1",)}),
    ('%%task a --check kind=="big"', {"check": ('kind=="big"',)}),
    ('%%task a --check kind == "big one"', {"check": ('kind == "big one"',)}),
    ("""%%task a --check "kind == 'big'" --check y""", {"check": ("kind == 'big'", "y")}),
    ("%%task --when flag a", {"when": "flag"}),
    ("%%task a --when x --when y", {"when": "(x) and (y)"}),
    ("%%task a --map x=xs", {"map": (("x", "xs"),)}),
    ("%%task a --map x=xs y=ys --zip", {"map": (("x", "xs"), ("y", "ys")), "zip": True}),
    ('%%task a --map "x=range(3)" --map y=[1]', {"map": (("x", "range(3)"), ("y", "[1]"))}),
    ('%%task a --map x="range(3)"', {"map": (("x", "range(3)"),)}),
    ('%%task a --map x=["a","b"]', {"map": (("x", '["a","b"]'),)}),
    ("%%task a --out x y --change z", {"out": ("x", "y"), "change": ("z",)}),
    ('%%task a --doc "--not an option #1"', {"doc": "--not an option #1"}),
    ("%dag", {}),
    ("%dag a --schedule 0 6 * * 1-5 --fail-fast", {"schedule": "0 6 * * 1-5", "fail_fast": True}),
    ("%dag a --schedule '0 6 * * *'", {"schedule": "0 6 * * *"}),
    ("%dag --schedule @daily a", {"schedule": "@daily"}),
    ("%dag a --schedule every 15m", {"schedule": "every 15m"}),
    ("%dag a --schedule none", {"schedule": None}),
    ("%dag a --tags x y,z", {"tags": ("x", "y", "z")}),
    ("%dag a --no-infer --no-catchup", {"infer": False, "catchup": False}),
    ("%dag a --on-failure slack://a/b,c mailto:x", {"on_failure": ("slack://a/b,c", "mailto:x")}),
    ("%dag a --start-date 2026-01-31", {"start_date": datetime(2026, 1, 31)}),
    ("%dag a --retries 2 --cache", {"defaults": {"retries": 2, "cache": True}}),
    ("%dag a --timeout 1h --task-timeout 5m", {"timeout": 3600.0, "defaults": {"timeout": 300.0}}),
]


@pytest.mark.parametrize(("line", "options"), READ)
def test_a_header_holds_only_the_given_options(line, options):
    header = parse(line)
    assert header.options == options
    assert header.name == ("a" if " a" in line else None)


EDGES = [
    ("%edges a >> b", [("a", "b")]),
    ("%edges a >> [b, c] >> d", [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]),
    ("%edges a << b", [("b", "a")]),
    ("%edges a >> b << c", [("a", "b"), ("c", "b")]),
    ("%edges [a,b]>>[c,d]", [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]),
    ("%edges a >> b; c >> d", [("a", "b"), ("c", "d")]),
    ("%edges a >> b, c >> d;", [("a", "b"), ("c", "d")]),
    ("%edges a.x >> b-2  # a remark >> c", [("a.x", "b-2")]),
    ("%edges a >> b >> c; a >> b", [("a", "b"), ("b", "c")]),
    ("%edges a >> \\\n b", [("a", "b")]),
]


@pytest.mark.parametrize(("line", "edges"), EDGES)
def test_edges_have_the_meaning_of_airflow(line, edges):
    assert parse(line).edges == tuple(edges)


def test_a_command_line_is_kept_unchanged():
    assert parse('%nbdag run x.ipynb -p name "a b" # c').rest == 'run x.ipynb -p name "a b" # c'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%%task a", True),
        ("%task", True),
        ("  %dag", True),
        ("%%setup", True),
        ("%edges a >> b", True),
        ("%nbdag check", True),
        ("%%dag x", True),
        ("%dag\\", True),
        ("%%task?", False),
        ("%dag?", False),
        ("%tasks", False),
        ("%%taks a", False),
        ("%%time", False),
        ("%load_ext nbdag", False),
        ("task a", False),
        ("x % dag", False),
        ("", False),
    ],
)
def test_a_header_is_recognized_by_its_magic(line, expected):
    assert headers.is_header(line) is expected


# -- what is refused ---------------------------------------------------------------------------------------------------

REFUSED = [
    ("%%task", 1, "no name"),
    ("%%task --retries 2", 1, "no name"),
    ("%%task --after a b", 1, "write %%task NAME"),
    ("%%task a b", 10, "name is already 'a'"),
    ("%%task a retries 2", 10, "did you mean --retries?"),
    ("%%task a -retries 2", 10, "did you mean --retries?"),
    ("%%task 2fast", 8, "'2fast' is not a valid name"),
    ("%%task a/b", 8, "is not a valid name"),
    ("%%task été", 8, "is not a valid name"),
    ("%%task " + "a" * 251, 8, "at most 250"),
    ("%%task a --retires 2", 10, "did you mean --retries?"),
    ("%%task a --qqq 2", 10, "%%task? lists all options"),
    ("%%task a --no-retries", 10, "unknown option --no-retries"),
    ("%%task a --trigger-rule all_done", 10, "did you mean --trigger?"),
    ("%%task a --execution-timeout 5m", 10, "did you mean --timeout?"),
    ("%%task a --schedule @daily", 10, "--schedule belongs to %dag"),
    ("%dag a --after b", 8, "--after belongs to %%task NAME"),
    ("%%task a --retries", 10, "needs a value; write --retries N"),
    ("%%task a --retries= --cache", 10, "needs a value"),
    ("%%task a --retries --cache", 10, "needs a value"),
    ("%%task a --after", 10, "needs a value; write --after TASK"),
    ("%%task a --after ,", 18, "is not a valid id"),
    ("%%task a --after 1b", 18, "is not a valid id"),
    ("%%task a --retries two", 20, "is not a whole number"),
    ("%%task a --retries -1", 20, "the minimum is 0"),
    ("%%task a --slots 0", 18, "the minimum is 1"),
    ("%%task a --slots 1e3", 18, "is not a whole number"),
    ("%%task a --timeout 3x", 20, "is not a duration; write 90, 30s, 5m, 1h30m or 2d"),
    ("%%task a --timeout 5m1h", 20, "is not a duration"),
    ("%%task a --timeout ''", 20, "is not a duration"),
    ("%%task a --timeout 0", 20, "expected more than zero"),
    ("%%task a --timeout 40000d", 20, "hundred years"),
    ("%%task a --retry-backoff 0.5", 26, "between 1 and"),
    ("%%task a --trigger all_dome", 20, "did you mean all_done?"),
    ("%%task a --trigger xyz", 20, "expected one of all_success"),
    ("%dag --weight-rule downsteam", 20, "did you mean downstream?"),
    ("%dag a --on-failure nonsense", 21, "is neither an address nor a function"),
    ("%dag a --on-retry 'a b:c'", 19, "is neither an address nor a function"),
    ("%%task a --pool 'my pool'", 17, "is not a valid id"),
    ("%%task a --out 2x", 16, "not a variable name"),
    ("%%task a --change class", 19, "not a variable name"),
    ("%%task a --check 'accuracy >'", 18, "not a Python expression (invalid syntax"),
    ("%%task a --check 'x = 1'", 18, "not a Python expression, because = assigns; use == to compare: 'x == 1'"),
    ("%%task a --check 'len(xs) = n and f(a=1)'", 18, "use == to compare: 'len(xs) == n and f(a=1)'"),
    ("%%task a --check 'z > '", 18, 'write one such as "accuracy >= 0.9"'),
    ("%%task a --when ''", 17, "not a Python expression"),
    ("%%task a --when 'return x'", 17, "not a Python expression"),
    ("%%task a --map xs", 16, "write --map x=xs"),
    ("%%task a --map x==xs", 16, "write --map x=xs"),
    ("%%task a --map 'x=a b'", 16, "not a Python expression"),
    ("%%task a --map x=a --map x=b", 20, "has the variable x twice"),
    ("%%task a --cache=yes", 10, "takes no value"),
    ("%%task a --retries 1 --retries 2", 22, "given twice"),
    ("%%task a --cache --no-cache", 18, "given twice"),
    ('%%task a --doc "open', 16, 'the quote " is not closed'),
    ("%%task a --doc Don't", 19, "the quote ' is not closed"),
    ("%%task a --doc x y", 18, "a value with spaces needs quotes"),
    ("%dag --tz Europe/Pariss", 11, "did you mean Europe/Paris?"),
    ("%dag --tz ../etc/passwd", 11, "not a time zone"),
    ("%dag --tz Europe", 11, "not a time zone"),
    ("%dag --start-date 31.1.2026", 19, "write 2026-01-31"),
    ("%dag --start-date 0001-01-01", 19, "is out of range; write a date between 1900 and 2999"),
    ("%dag --start-date 2026-02-30", 19, "not a date"),
    ("%dag x --tz UTC --schedule '0 6 * *'", 17, "0 6 * *"),
    ("%dag x --schedule '0 0 30 2 *'", 8, "0 0 30 2 *"),
    ("%dag x --schedule @reboot", 8, "@reboot"),
    ("%dag x --catchup --schedule @daily", 8, "catchup needs a start date; add one"),
    ("%dag x --end-date 2026-01-01 --start-date 2026-01-02", 8, "is before the start date"),
    ("%%task x --deadline 25:00", 21, "neither a time of day nor a duration; write 08:00 or +2h"),
    ("%%task x --deadline 2h", 21, "write 08:00 or +2h"),
    ("%%task x --retry-on 'a b'", 21, "is not the name of an error"),
    ("%dag x --branch", 8, "--branch belongs to %%task NAME"),
    ("%%setup x", 9, "takes no name"),
    ("%%skip --retries 2", 8, "--retries belongs to"),
    ("%%task a --approve 'On {{ ds }}?'", 20, "write a Python expression in single braces, such as {dag_run.ds}"),
    ("%%params --qqq", 10, "takes no options"),
    ("%%dag x --shedule @daily", 9, "did you mean --schedule?"),
    ("%%edges a >> b", 1, "one percent sign"),
    ("%edges", 7, "needs a task on both sides"),
    ("%edges a", 9, "needs a task on both sides"),
    ("%edges a >>", 12, "needs a task on both sides"),
    ("%edges a b", 10, "write >> between a and b"),
    ("%edges a -> b", 10, "unexpected '->'"),
    ("%edges a, b >> c", 9, "unexpected ','"),
    ("%edges [a, b", 13, "[ is not closed"),
    ("%edges [] >> a", 9, "unexpected ']'"),
    ("%edges [a, [b]] >> c", 12, "unexpected '['"),
    ("%edges a >> b >> >> c", 18, "unexpected '>>'"),
    ("%edges >> a", 8, "unexpected '>>'"),
    ("%%taks a", 1, "unknown magic '%%taks a'; expected one of %%task"),
    ("%%task a\nx = 1", 1, "the header has several lines"),
]


@pytest.mark.parametrize(("line", "column", "words_of_it"), REFUSED)
def test_an_invalid_header_is_rejected_with_its_column_and_a_next_step(line, column, words_of_it):
    with pytest.raises(HeaderError) as caught:
        parse(line)
    assert words_of_it in str(caught.value)
    assert caught.value.column == column


# -- what becomes of it ------------------------------------------------------------------------------------------------


def test_a_tasks_options_override_the_dags_defaults():
    dag = headers.dag_options(parse("%dag x --retries 2 --task-timeout 5m --cache"))
    told = headers.task_options(dag.defaults, parse("%%task a --timeout none --no-cache").options)
    assert (told.retries, told.timeout, told.cache, told.retry_delay) == (2, None, False, 30.0)
    assert dag.timeout is None


def test_a_task_without_options_has_the_defaults():
    assert headers.task_options({}, parse("%%task a").options) == TaskOptions()
    assert headers.dag_options() == headers.dag_options(parse("%dag")) == DagOptions()


def test_dates_are_aware_in_the_dags_zone():
    line = "%dag x --start-date 2026-01-31 --tz Europe/Riga --end-date 2026-07-01T12:00+00:00"
    options = headers.dag_options(parse(line))
    zone = ZoneInfo("Europe/Riga")
    assert options.start_date == datetime(2026, 1, 31, tzinfo=zone)
    assert options.end_date.isoformat() == "2026-07-01T15:00:00+03:00"
    assert options.end_date.tzinfo == zone


def test_every_field_can_be_set_in_a_header():
    own_of_operators = {"operator_options"}
    assert {option.field for option in OPTIONS["task"]} == {
        each.name for each in fields(TaskOptions)
    } - own_of_operators
    own = {option.field for option in OPTIONS["dag"] if not option.is_default}
    assert own == {each.name for each in fields(DagOptions)} - {"defaults"}
    assert len({option.flag for option in OPTIONS["dag"]}) == len(OPTIONS["dag"])


def test_headers_accept_the_rules_of_the_scheduler():
    assert set(option_types.TRIGGER.choices()) == set(triggers.RULES)
    assert set(option_types.WEIGHT.choices()) == set(weights.RULES)


# -- help and completion -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", headers.MAGICS)
def test_the_help_names_every_option_and_fits_a_terminal(kind):
    text = headers.help(kind)
    assert headers.MAGICS[kind] in text
    assert all(f"--{option.flag}" in text or f"--no-{option.flag}" in text for option in OPTIONS.get(kind, ()))
    assert max(map(len, text.splitlines())) <= 100


def test_the_help_of_a_task_names_the_options_of_headless_runs():
    text = headers.help("task")
    assert "retries, timeouts, pools and schedules apply to headless runs" in " ".join(text.split())
    assert "default 30s (Airflow: 300s)" in text


@pytest.mark.parametrize("kind", headers.MAGICS)
def test_every_example_in_the_help_can_be_read(kind):
    examples = [line.strip() for line in headers.help(kind).splitlines() if line.startswith("  %")]
    assert all(parse(line).kind == kind for line in examples)


COMPLETED = [
    ("%%task a --ret|", ["--retries", "--retry-delay", "--retry-backoff", "--retry-on", "--retry-if"]),
    ("%%task a --retries 2 --retr|", ["--retry-delay", "--retry-backoff", "--retry-on", "--retry-if"]),
    ("%%task a --retries| 2", []),
    ("%%task a --no-ca|", ["--no-cache"]),
    ("%%task a --trigger one_|", ["one_success", "one_failed", "one_done"]),
    ("%%task a --trigger=one_s|", ["one_success"]),
    ("%%task a --after |", ["load", "prep", "train"]),
    ("%%task a --after pr|", ["prep"]),
    ("%%task a --after prep tr|", ["train"]),
    ("%%task a --after prep,|", ["load", "train"]),
    ("%%task a --after=|", ["load", "prep", "train"]),
    ("%%task load --after |", ["prep", "train"]),
    ("%%task a --operator |", ["bash", "python"]),
    ("%%task a --retries 2 |", []),
    ("%%task |", []),
    ("%dag x --schedule @d|", ["@daily"]),
    ("%dag x --tz Europe/Ri|", ["Europe/Riga"]),
    ("%dag x --weight-rule u|", ["upstream"]),
    ("%dag x --task-|", ["--task-timeout"]),
    ("%edges prep >> [t|", ["train"]),
    ("%edges |", ["load", "prep", "train"]),
    ("x = 1 |", []),
]


@pytest.mark.parametrize(("typed", "offered"), COMPLETED)
def test_completion_offers_valid_words_at_the_cursor(typed, offered):
    text, cursor = typed.replace("|", ""), typed.index("|")
    assert headers.complete(text, cursor, ["train", "prep", "load"], ["python", "bash"]) == offered


def test_a_completion_replaces_the_typed_word():
    text = "%%task a --after prep,tr"
    assert text[headers.word_start(text, len(text)) :] == "tr"


def test_all_errors_of_a_line_are_reported():
    with pytest.raises(HeaderError) as caught:
        parse("%%task a --retreis 1 --timeout soon --pool gpu --whne x more")
    found = [caught.value, *caught.value.others]
    assert [(error.column, error.message.split()[0]) for error in found] == [
        (10, "unknown"), (32, "--timeout"), (48, "unknown"),
    ]  # fmt: skip
