"""Errors are dataclasses with a template."""

from __future__ import annotations

import pickle

import pytest

from nbdag.errors import Fail, NbdagError, Skip, error


@error
class UnknownFruitError(NbdagError):
    """A fruit that nobody sells."""

    fruit: str
    known: tuple[str, ...] = ()
    exit_code = 2
    template = "unknown fruit {fruit!r}{expected}"

    @property
    def expected(self) -> str:
        return f"; expected one of {', '.join(self.known)}" if self.known else ""


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (UnknownFruitError("plum"), "unknown fruit 'plum'"),
        (UnknownFruitError("plum", known=("fig", "pear")), "unknown fruit 'plum'; expected one of fig, pear"),
        (UnknownFruitError("{plum}"), "unknown fruit '{plum}'"),
        (Skip("no new files"), "no new files"),
        (Fail(), ""),
    ],
)
def test_an_error_reads_as_its_template_filled_in(made: NbdagError, sentence: str) -> None:
    assert str(made) == sentence


def test_an_error_survives_pickling_whether_its_arguments_were_named_or_not() -> None:
    made = UnknownFruitError("plum", known=("fig",))
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), again.known) == (UnknownFruitError, str(made), ("fig",))


def test_an_error_is_hashable_and_equal_only_to_itself() -> None:
    assert len({UnknownFruitError("plum"), UnknownFruitError("plum")}) == 2


def test_a_user_can_derive_from_fail_as_from_any_exception() -> None:
    class Bad(Fail):
        code: int

        def __init__(self, code: int) -> None:
            super().__init__(f"code {code}")
            self.code = code

    assert str(Bad(3)) == "code 3"
