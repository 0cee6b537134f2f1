"""Ticks, held to an oracle that walks through every real minute of a few days around a change of the clocks."""

import calendar
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from operator import itemgetter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag.core.schedule.cron import Cron, Days, Seconds, instants, latest

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# days on which the clocks were changed, each odd in its own way
CHANGES = [
    ("Europe/Riga", "2021-03-28"),
    ("Europe/Riga", "2021-10-31"),
    ("America/New_York", "2021-03-14"),
    ("America/New_York", "2021-11-07"),
    ("Australia/Lord_Howe", "2021-10-03"),  # half an hour
    ("Australia/Lord_Howe", "2021-04-04"),
    ("Africa/Casablanca", "2021-04-11"),  # back for Ramadan
    ("Africa/Casablanca", "2021-05-16"),
    ("Asia/Kathmandu", "1986-01-01"),  # a quarter of an hour, at midnight
    ("Pacific/Apia", "2011-12-30"),  # a whole day
    ("Pacific/Apia", "2012-04-01"),
    ("Pacific/Kwajalein", "1993-08-21"),  # a whole day
    ("America/Sao_Paulo", "2017-10-15"),  # midnight does not exist
    ("America/Sao_Paulo", "2018-02-18"),  # the hour before midnight comes twice
    ("Asia/Tehran", "2021-03-22"),
    ("Asia/Tehran", "2021-09-22"),
    ("Pacific/Chatham", "2021-04-04"),  # at a quarter to the hour
    ("Pacific/Chatham", "2021-09-26"),
    ("Antarctica/Troll", "2021-03-28"),  # two hours
    ("Antarctica/Troll", "2021-10-31"),
    ("America/St_Johns", "2010-03-14"),  # a minute after midnight
    ("America/St_Johns", "2010-11-07"),  # and so the last hour of the day before comes twice
    ("America/Scoresbysund", "2024-03-31"),
    ("America/Toronto", "1919-03-31"),  # the missing hour begins before midnight and ends after it
    ("Africa/Juba", "2021-02-01"),
    ("Asia/Pyongyang", "2015-08-15"),
    ("Antarctica/Casey", "2023-03-09"),  # three hours
    ("Europe/Dublin", "2021-10-31"),  # daylight saving is negative
    ("UTC", "2021-01-01"),
]


@cache
def meanings(name, day):
    """Return the wall-clock times of each minute of real time around a day, in the plainest way.

    As triples of the instant, the time, and whether it is meant even if the hour field is not `*`: a time that is
    seen means its instant (one that is seen twice, the last), one that is missing is moved on.
    """
    zone, middle = ZoneInfo(name), datetime.fromisoformat(day).replace(tzinfo=UTC)
    found, last_seen, before = [], {}, None
    moment = middle - 8 * DAY
    while moment <= middle + 8 * DAY:
        wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        missing = wall if before is None else before + MINUTE
        while missing < wall:
            found.append((moment + (missing - before - MINUTE), missing))
            missing += MINUTE
        found.append((moment, wall))
        last_seen[wall] = moment
        before = wall
        moment += MINUTE
    return sorted((moment, wall, last_seen.get(wall, moment) == moment) for moment, wall in found)


def expected_ticks(matches, every_hour, change, first, last):
    """Return the ticks between two moments by the rules."""
    every = meanings(*change)
    begin, end = (bisect_right(every, moment, key=itemgetter(0)) for moment in (first, last))
    part = every[begin:end]
    return sorted({moment for moment, wall, always in part if (every_hour or always) and matches(wall)})


# -- fields: what is written, and which values it means ----------------------------------------------------------------


@st.composite
def fields(draw, low, high):
    kind = draw(st.sampled_from(["star", "one", "list", "range", "wrapping", "step", "stepped range"]))
    some = st.integers(low, high)
    every = set(range(low, high + 1))
    match kind:
        case "star":
            return "*", every
        case "one" | "list":
            values = draw(st.lists(some, min_size=1, max_size=1 if kind == "one" else 4, unique=True))
            return ",".join(map(str, values)), set(values)
        case "step":
            step = draw(st.integers(1, high))
            return f"*/{step}", set(range(low, high + 1, step))
    a, b = sorted(draw(st.lists(some, min_size=2, max_size=2, unique=True)))
    if kind == "range":
        return f"{a}-{b}", set(range(a, b + 1))
    if kind == "wrapping":
        return f"{b}-{a}", {value for value in every if value >= b or value <= a}
    step = draw(st.integers(1, high))
    return f"{a}-{b}/{step}", set(range(a, b + 1, step))


NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def weekday(moment):
    return moment.isoweekday() % 7  # Sunday is 0


@st.composite
def expressions(draw):
    """An expression, the times that it means, and whether its hour field covers every hour."""
    minute, minutes = draw(fields(0, 59))
    hour, hours = draw(fields(0, 23))
    day, days = draw(st.just(("*", set(range(1, 32)))) | fields(1, 31) | st.just(("L", set())))
    month, months = draw(st.just(("*", set(range(1, 13)))) | fields(1, 12))
    name, weekdays = draw(
        st.just(("*", set(range(7))))
        | fields(0, 6)
        | st.integers(0, 6).map(lambda n: (NAMES[n], {n}))
        | st.just(("7", {0}))
    )
    nth = draw(st.none() | st.integers(1, 5)) if day == "*" and name.isalnum() else None
    if nth:
        name = f"{name}#{nth}"

    def restricts(text, whole, other):
        """A field of all days, such as */1 or 0-6, counts as a restriction unless the other one has a star."""
        return text != "*" and not (whole and "*" in other)

    def is_last(moment):
        return moment.day == calendar.monthrange(moment.year, moment.month)[1]

    def is_day(moment):
        by_day = moment.day in days or (day == "L" and is_last(moment))
        by_weekday = weekday(moment) in weekdays and (not nth or (moment.day - 1) // 7 + 1 == nth)
        if restricts(day, len(days) == 31, name) and restricts(name, len(weekdays) == 7, day):
            return by_day or by_weekday
        return by_day and by_weekday

    def matches(moment):
        return moment.minute in minutes and moment.hour in hours and moment.month in months and is_day(moment)

    return f"{minute} {hour} {day} {month} {name}", matches, len(hours) == 24


@pytest.mark.slow
@given(expressions(), st.sampled_from(CHANGES), st.integers(-2 * 1440, 1440), st.integers(0, 59))
def test_ticks_are_those_of_every_real_minute_around_a_change_of_the_clocks(expression, change, offset, seconds):
    text, matches, every_hour = expression
    zone = ZoneInfo(change[0])
    first = datetime.fromisoformat(change[1]).replace(tzinfo=UTC) + offset * MINUTE + timedelta(seconds=seconds)
    last = first + 2 * DAY
    expected = expected_ticks(matches, every_hour, change, first, last)
    cron = Cron(text, zone)
    found = list(takewhile(lambda tick: tick <= last, cron.after(first)))
    assert found == expected
    assert all(a < b for a, b in pairwise(found))
    if expected:
        assert latest(cron, last) == expected[-1]
        assert latest(cron, expected[-1]) == expected[-1]
        assert next(cron.after(expected[-1] - MINUTE)) == expected[-1]
        if len(expected) > 1:
            assert latest(cron, expected[-1], inclusive=False) == expected[-2]


@pytest.mark.parametrize(("name", "day"), CHANGES)
@pytest.mark.parametrize(
    "text", ["* * * * *", "*/7 * * * *", "*/13 0-4,21-23 * * *", "0 0 * * *", "59 23 * * *", "30 */2 * * *"]
)
def test_dense_and_usual_expressions_pass_every_change_of_the_clocks(name, day, text):
    minute, hour, *_ = text.split()
    zone = ZoneInfo(name)
    cron = Cron(text, zone)
    wanted = {
        "*": set(range(60)),
        "*/7": set(range(0, 60, 7)),
        "*/13": set(range(0, 60, 13)),
        "0": {0},
        "59": {59},
        "30": {30},
        "0-4,21-23": {0, 1, 2, 3, 4, 21, 22, 23},
        "23": {23},
        "*/2": set(range(0, 24, 2)),
    }
    minutes, hours = wanted[minute], set(range(24)) if hour == "*" else wanted[hour]
    first = datetime.fromisoformat(day).replace(tzinfo=UTC) - 2 * DAY
    last = first + 4 * DAY

    def matches(wall):
        return wall.minute in minutes and wall.hour in hours

    assert list(takewhile(lambda tick: tick <= last, cron.after(first))) == expected_ticks(
        matches, hour == "*", (name, day), first, last
    )


@given(
    st.integers(1, 40),
    st.sampled_from(CHANGES),
    st.integers(0, 1439),
    st.integers(-100, 100),
    st.integers(-3 * 1440, 3 * 1440),
)
def test_an_interval_of_days_keeps_the_local_time(count, change, minute, ago, offset):
    zone = ZoneInfo(change[0])
    midnight = datetime.fromisoformat(change[1])
    anchor = midnight + minute * MINUTE - ago * DAY
    first = midnight.replace(tzinfo=UTC) + offset * MINUTE
    last = first + 60 * DAY
    ticks = Days(count, anchor.replace(tzinfo=zone), zone)
    found = list(takewhile(lambda tick: tick <= last, ticks.after(first)))
    expected = {
        tick
        for n in range(-200, 300)
        for tick in instants(anchor + n * count * DAY, zone, both=False)
        if first < tick <= last
    }
    assert found == sorted(expected)
    walls = [tick.astimezone(zone).replace(tzinfo=None, fold=0) for tick in found]
    for wall, tick in zip(walls, found, strict=True):
        assert (wall - anchor) % (count * DAY) == timedelta(0) or wall not in ticks.wall_times(tick)
        assert ticks.wall_times(tick)


@given(st.integers(1, 10**7), st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), st.integers(-(10**9), 10**9))
def test_a_number_of_seconds_counts_real_time(count, anchor, offset):
    start = anchor.replace(tzinfo=UTC)
    moment = start + timedelta(seconds=offset)
    ticks = Seconds(count, start)
    tick = next(ticks.after(moment))
    assert moment < tick <= moment + timedelta(seconds=count)
    assert (tick - start) % timedelta(seconds=count) == timedelta(0)
    assert latest(ticks, tick, inclusive=False) == tick - timedelta(seconds=count)


def test_ticks_end_with_the_calendar():
    end = datetime(9999, 12, 30, 12, tzinfo=UTC)
    for ticks in (
        Cron("0 0 * * *", ZoneInfo("UTC")),
        Days(1, datetime(2020, 1, 1), ZoneInfo("UTC")),
        Seconds(3600, end),
    ):
        assert 0 < len(list(ticks.after(end))) < 40


def test_no_tick_comes_before_the_calendar_begins():
    assert latest(Cron("0 0 1 1 *", ZoneInfo("UTC")), datetime(1, 1, 1, tzinfo=UTC), inclusive=False) is None
