"""Secret values are found in texts in every form in which programs print them, and nothing else is hidden."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag.core.model.secret_masking import SecretValues

VALUES = [
    "hunter2secret",
    "p@ss w'o\"rd/1?&=%",
    "пароль-密码",
    "back\\slash\tand $HOME `id`",
    "<tag attr='x'>&amp;",
    "postgresql://me:s3cr3t@db/x",
    "x" * 10 + "y" * 100 + "z" * 17,
    "1" * 5000,
]
FORMS = {
    "plain": str,
    "inside other text": lambda v: f"before{v}after",
    "twice": lambda v: f"{v}{v}",
    "repr": repr,
    "repr of a list": lambda v: repr([v]),
    "repr of a repr": lambda v: repr(repr([v])),
    "repr of an exception": lambda v: repr(ValueError(v)),
    "repr of bytes": lambda v: repr(v.encode()),
    "ascii": ascii,
    "JSON": json.dumps,
    "JSON in JSON": lambda v: json.dumps(json.dumps({"a": v})),
    "JSON with all characters": lambda v: json.dumps([v], ensure_ascii=False),
    "URL-encoded": lambda v: quote(v, safe=""),
    "URL-encoded but for slashes": quote,
    "URL-encoded with lower-case escapes": lambda v: re.sub("%..", lambda m: m[0].lower(), quote(v, safe="")),
    "a form's encoding": quote_plus,
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 for URLs": lambda v: base64.urlsafe_b64encode(v.encode()).decode(),
    "base64 without padding": lambda v: base64.b64encode(v.encode()).decode().rstrip("="),
    "hexadecimal": lambda v: v.encode().hex(),
    "HTML": html.escape,
    "the shell's quotes": shlex.quote,
}


def one(value: str) -> SecretValues:
    values = SecretValues()
    values.add(value)
    return values


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_hidden_in_each_form(value, form):
    printed = FORMS[form](value)
    hidden = one(value).mask(f"a: {printed} :z")
    assert "***" in hidden
    assert hidden.startswith("a: ") and hidden.endswith(" :z")
    assert printed not in hidden and value not in hidden
    assert len(hidden) < 40  # nothing of the value is left, but quotes, brackets and the names of types


@pytest.mark.parametrize("login", ["u", "me", "bob", "alice"])
def test_a_value_is_hidden_in_an_http_basic_header(login):
    header = base64.b64encode(f"{login}:hunter2secret".encode()).decode()
    left = one("hunter2secret").mask(f"Basic {header}").removeprefix("Basic ")
    assert "***" in left
    assert b"2sec" not in base64.b64decode(left.replace("***", "").rstrip("=") + "====")


def test_each_line_of_a_value_is_hidden():
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQ\n-----END KEY-----"
    values = one(key)
    assert values.mask("line 2 is EFAASCBKcwggSjAgEAAoIBAQ.") == "line 2 is ***."
    assert values.mask(key.replace("\n", "\r\n")) == "-----BEGIN KEY-----\r\n***\r\n***\r\n-----END KEY-----"
    assert values.mask("-----BEGIN KEY-----") == "-----BEGIN KEY-----"  # not secret, and other keys have it too


def test_the_secret_values_of_a_json_object_are_hidden():
    text = json.dumps({"type": "service_account", "private_key": "-----BEGIN\nMIIEvQIBADAN\n", "port": 5432})
    values = one(text)
    assert values.mask("type=service_account key=MIIEvQIBADAN") == "type=service_account key=***"


def test_the_beginning_and_the_end_of_a_long_value_are_hidden():
    value = (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
    )
    assert one(value).mask(f"{value[:45]}…{value[-40:]}") == "***…***"


RANDOM = ["hunter2secret", "tok-Zq7&xW2'pLm9/vR4", "Kp3$hJ8 mN5@bT6yU", "123e4567-e89b-12d3-a456-42a614f74e0b"]
PARTS = {
    "beginning": lambda v: v[:9],
    "end": lambda v: v[-9:],
    "middle": lambda v: v[3:12],
    "shortened repr": lambda v: f"{v[:8]}...{v[-8:]}",
    "column of a table": lambda v: f"| {v[:10]}… |",
    "error of a library": lambda v: repr(ValueError(f"invalid token {v[:10]}")),
    "base64 of a part": lambda v: base64.b64encode(v[2:12].encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("value", RANDOM)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_random_value_is_hidden(value, part):
    printed = PARTS[part](value)
    hidden = one(value).mask(f"a: {printed} :z")
    assert "***" in hidden and hidden.startswith("a: ") and hidden.endswith(" :z")
    shown = hidden.replace("ValueError", "").replace("invalid token", "")
    assert all(value[at : at + 8] not in hidden for at in range(len(value) - 7))
    assert len(shown) < 24
    assert one(value).are_in(printed)


def test_a_part_of_a_long_value_is_hidden_wherever_it_begins():
    value = "".join(hashlib.sha256(b"%d" % n).hexdigest() for n in range(16))
    values = one(value)
    parts = [value[at : at + 8] for at in range(len(value) - 7)]
    mixed = [each for each in parts if not each.isdigit() and not each.isalpha()]
    assert [each for n, each in enumerate(mixed) if values.mask(" " * (n % 4) + each).strip() != "***"] == []


@pytest.mark.parametrize("width", [8, 11, 16])
def test_a_random_value_is_hidden_where_lines_are_wrapped(width):
    value = "4fJ9aQzX1Lw0TnBv7Ye2kD8sRm5Uc3Gh"
    wrapped = "\n".join(value[at : at + width] for at in range(0, len(value), width))
    hidden = one(value).mask(f"token: {wrapped} end")
    assert hidden == f"token: {chr(10).join(['***'] * -(-len(value) // width))} end"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Prod-Database-password-orders", "the orders of Database, password-protected"),
        ("https://user1@db", "https://user"),
        ("2026112914300000", "20261129 14300000"),
        ("my dog is 12 years old", "my dog is 12 years"),
        ("correcthorsebattery", "correcthorse"),
    ],
)
def test_words_and_numbers_of_a_value_are_not_hidden(value, text):
    assert one(value).mask(text) == text
    assert not one(value).are_in(text)


@pytest.mark.parametrize("value", ["", " ", "abc", "true", "None", "null", "FALSE"])
def test_short_and_trivial_values_are_not_hidden(value):
    assert one(value).mask("abc true None null FALSE  .") == "abc true None null FALSE  ."


def test_line_breaks_of_a_value_are_kept():
    values = one("\n" * 30 + "hunter2secret" + "\n" * 30)
    assert values.mask("\n" * 40) == "\n" * 40
    assert values.mask("a\nhunter2secret\nb") == "a\n***\nb"


def test_data_is_hidden_at_every_depth():
    values = one("hunter2secret")
    data = {"a": ["hunter2secret", 1, None, {"hunter2secret": "x hunter2secret"}]}
    assert values.masked(data) == {"a": ["***", 1, None, {"***": "x ***"}]}


@given(st.text(alphabet="ab", max_size=6), st.integers(0, 30), st.text(alphabet="ab x", max_size=8))
def test_a_value_in_pieces_is_hidden_wherever_it_is_cut(tail, seed, before):
    value = f"ab{tail}ab"
    printed, values, shown, rest = f"{before}{value} end", one(value), "", ""
    step = seed % 5 + 1
    for at in range(0, len(printed), step):
        released, rest = values.masked_part(rest + printed[at : at + step])
        shown += released
    shown += values.mask(rest)
    assert value not in shown
    assert shown.endswith(" end")


def test_only_a_possible_beginning_is_held_back():
    values = one("hunter2secret")
    assert values.masked_part("a line\n") == ("a line\n", "")
    assert values.masked_part("my hunt") == ("my ", "hunt")
    assert values.masked_part("my hunter2secret and") == ("my *** and", "")
