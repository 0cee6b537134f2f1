from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag.core.options.options import DagOptions
from nbdag.core.schedule.timetable import ScheduleError, Timetable

DAY = timedelta(days=1)


def at(text):
    """An instant: in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def local(timetable, ticks):
    return [tick.astimezone(timetable.zone).isoformat(sep=" ", timespec="minutes") for tick in ticks]


# -- ticks -------------------------------------------------------------------------------------------------------------

PRESETS = [
    ("@hourly", ["2026-01-31 22:00", "2026-01-31 23:00", "2026-02-01 00:00"]),
    ("@daily", ["2026-02-01 00:00", "2026-02-02 00:00", "2026-02-03 00:00"]),
    ("@weekly", ["2026-02-01 00:00", "2026-02-08 00:00", "2026-02-15 00:00"]),
    ("@monthly", ["2026-02-01 00:00", "2026-03-01 00:00", "2026-04-01 00:00"]),
    ("@quarterly", ["2026-04-01 00:00", "2026-07-01 00:00", "2026-10-01 00:00"]),
    ("@yearly", ["2027-01-01 00:00", "2028-01-01 00:00", "2029-01-01 00:00"]),
    ("@Daily", ["2026-02-01 00:00", "2026-02-02 00:00", "2026-02-03 00:00"]),
    ("*/20 * * * *", ["2026-01-31 21:40", "2026-01-31 22:00", "2026-01-31 22:20"]),
    ("0 6 * * mon-fri", ["2026-02-02 06:00", "2026-02-03 06:00", "2026-02-04 06:00"]),
    ("0 6 * JAN,mar SAT", ["2026-03-07 06:00", "2026-03-14 06:00", "2026-03-21 06:00"]),
    ("0 22-1 * * *", ["2026-01-31 22:00", "2026-01-31 23:00", "2026-02-01 00:00", "2026-02-01 01:00", "2026-02-01 22:00"]),
    ("0 0 * * fri-mon", ["2026-02-01 00:00", "2026-02-02 00:00", "2026-02-06 00:00"]),
    ("0 0 1 nov-feb *", ["2026-02-01 00:00", "2026-11-01 00:00", "2026-12-01 00:00"]),
    ("0 0 13 * 5", ["2026-02-06 00:00", "2026-02-13 00:00", "2026-02-20 00:00"]),  # either day field
    ("0 0 1 * 5", ["2026-02-01 00:00", "2026-02-06 00:00", "2026-02-13 00:00"]),
    ("0 0 L * *", ["2026-02-28 00:00", "2026-03-31 00:00", "2026-04-30 00:00"]),
    ("0 0 * * 5#2", ["2026-02-13 00:00", "2026-03-13 00:00", "2026-04-10 00:00"]),
    ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
    ("0  0 * *  7", ["2026-02-01 00:00", "2026-02-08 00:00", "2026-02-15 00:00"]),
    ("every 15m", ["2026-01-31 21:45", "2026-01-31 22:00", "2026-01-31 22:15"]),
    ("every 1h30m", ["2026-01-31 22:30", "2026-02-01 00:00", "2026-02-01 01:30"]),
    ("every 90", ["2026-01-31 21:31", "2026-01-31 21:33", "2026-01-31 21:34"]),
    ("every 7d", ["2026-02-02 00:00", "2026-02-09 00:00", "2026-02-16 00:00"]),  # Mondays
    ("@once", []),
    ("@continuous", []),
    ("none", []),
    (None, []),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "expected"), PRESETS)
def test_a_schedule_means_these_ticks(schedule, expected):
    timetable = Timetable.parse(schedule)
    found = timetable.next_ticks(at("2026-01-31T21:30"), len(expected) or 3)
    assert [f"{tick:%Y-%m-%d %H:%M}" for tick in found] == expected


# (what, schedule, zone, after, ticks as the clock on the wall and its offset say)
CLOCK_CHANGES = [
    ("a fixed time in the hour that comes twice: once, at the second", "0 3 * * *", "Europe/Riga", "2021-10-30T12:00",
     ["2021-10-31 03:00+02:00", "2021-11-01 03:00+02:00"]),
    ("a time in the missing hour shifts by the offset", "30 3 * * *", "Europe/Riga", "2021-03-27T12:00",
     ["2021-03-28 04:30+03:00", "2021-03-29 03:30+03:00"]),
    ("* in the hour field fires every real hour, when one comes twice", "0 * * * *", "Europe/Riga", "2021-10-30T22:30",
     ["2021-10-31 02:00+03:00", "2021-10-31 03:00+03:00", "2021-10-31 03:00+02:00", "2021-10-31 04:00+02:00"]),
    ("* in the hour field fires every real hour, when one is missing", "0 * * * *", "Europe/Riga", "2021-03-27T23:30",
     ["2021-03-28 02:00+02:00", "2021-03-28 04:00+03:00", "2021-03-28 05:00+03:00"]),
    ("every third hour, when one comes twice: at the second only", "0 */3 * * *", "Europe/Riga", "2021-10-30T20:30",
     ["2021-10-31 00:00+03:00", "2021-10-31 03:00+02:00", "2021-10-31 06:00+02:00"]),
    ("every third hour, when it is missing", "0 */3 * * *", "Europe/Riga", "2021-03-27T21:30",
     ["2021-03-28 00:00+02:00", "2021-03-28 04:00+03:00", "2021-03-28 06:00+03:00"]),
    ("several matches in the missing hour are all moved", "*/20 3 * * *", "Europe/Riga", "2021-03-27T12:00",
     ["2021-03-28 04:00+03:00", "2021-03-28 04:20+03:00", "2021-03-28 04:40+03:00", "2021-03-29 03:00+03:00"]),
    ("each once, even where another match stands already", "0,30 3,4 * * *", "Europe/Riga", "2021-03-27T12:00",
     ["2021-03-28 04:00+03:00", "2021-03-28 04:30+03:00", "2021-03-29 03:00+03:00"]),
    ("several matches in the repeated hour: in the second pass only", "*/30 3 * * *", "Europe/Riga", "2021-10-30T12:00",
     ["2021-10-31 03:00+02:00", "2021-10-31 03:30+02:00", "2021-11-01 03:00+02:00"]),
    ("a start in the first pass drops no match of the second", "*/20 * * * *", "Europe/Riga", "2021-10-31T00:30",
     ["2021-10-31 03:40+03:00", "2021-10-31 03:00+02:00", "2021-10-31 03:20+02:00", "2021-10-31 03:40+02:00"]),
    ("the same for a fixed hour", "*/20 3 * * *", "Europe/Riga", "2021-10-31T00:30",
     ["2021-10-31 03:00+02:00", "2021-10-31 03:20+02:00", "2021-10-31 03:40+02:00"]),
    ("a long wait across a change stays on the expression", "0 * 1 * *", "Europe/Riga", "2021-03-01T21:30",
     ["2021-04-01 00:00+03:00", "2021-04-01 01:00+03:00"]),
    ("and back", "15 * 2 * *", "Europe/Riga", "2021-10-02T20:30",
     ["2021-11-02 00:15+02:00", "2021-11-02 01:15+02:00"]),
    ("half an hour that comes twice", "45 * * * *", "Australia/Lord_Howe", "2021-04-03T14:00",
     ["2021-04-04 01:45+11:00", "2021-04-04 01:45+10:30", "2021-04-04 02:45+10:30"]),
    ("half an hour that is missing", "15 2 * * *", "Australia/Lord_Howe", "2021-10-02T12:00",
     ["2021-10-03 02:45+11:00", "2021-10-04 02:15+11:00"]),
    ("a day that is missing", "0 12 * * *", "Pacific/Apia", "2011-12-29T00:00",
     ["2011-12-29 12:00-10:00", "2011-12-31 12:00+14:00", "2012-01-01 12:00+14:00"]),
    ("a date that is missing", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00",
     ["2011-12-31 12:00+14:00", "2012-12-30 12:00+14:00"]),
    ("asked on the day after, whose ticks it shares", "0 12 30 12 *", "Pacific/Apia", "2011-12-30T12:00",
     ["2011-12-31 12:00+14:00", "2012-12-30 12:00+14:00"]),
    ("a midnight that is missing", "0 0 * * *", "America/Sao_Paulo", "2017-10-14T12:00",
     ["2017-10-15 01:00-02:00", "2017-10-16 00:00-02:00"]),
    ("an hour before midnight that comes twice", "30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00",
     ["2018-02-17 23:30-03:00", "2018-02-18 23:30-03:00"]),
    ("a quarter of an hour to UTC", "0 0 * * *", "Asia/Kathmandu", "2026-01-01T00:00",
     ["2026-01-02 00:00+05:45", "2026-01-03 00:00+05:45"]),
    ("a Ramadan's clocks", "30 2 * * *", "Africa/Casablanca", "2021-05-15T12:00",
     ["2021-05-16 03:30+01:00", "2021-05-17 02:30+01:00"]),
    ("every 1d keeps the time on the wall", "every 1d", "Europe/Riga", "2021-03-27T03:00",
     ["2021-03-27 06:00+02:00", "2021-03-28 06:00+03:00", "2021-03-29 06:00+03:00"]),
    ("every 24h counts real time", "every 24h", "Europe/Riga", "2021-03-27T03:00",
     ["2021-03-27 06:00+02:00", "2021-03-28 07:00+03:00", "2021-03-29 07:00+03:00"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [case[1:] for case in CLOCK_CHANGES],
    ids=[case[0] for case in CLOCK_CHANGES],
)
def test_when_the_clocks_change(schedule, zone, after, expected):
    # the start date gives intervals their time on the wall, and is past for all others
    timetable = Timetable.parse(schedule, tz=zone, start_date=datetime(2001, 1, 1, 6))
    assert local(timetable, timetable.next_ticks(at(after), len(expected))) == expected


@pytest.mark.parametrize(
    ("schedule", "after", "words"),
    [
        (
            "30 3 * * *",
            "2021-03-27T12:00",
            "03:30 does not exist on 2021-03-28, when the clocks go forward; the run starts at 04:30",
        ),
        ("0 3 * * *", "2021-10-30T12:00", "03:00 occurs twice, as the clocks go back; this is the second"),
        ("0 * * * *", "2021-10-30T23:30", "03:00 occurs twice, as the clocks go back; this is the first"),
        ("0 3 * * *", "2021-10-31T12:00", ""),
        ("0 4 * * *", "2021-03-27T12:00", ""),
        ("0 3,4 * * *", "2021-03-27T12:00", ""),  # 04:00 is meant in any case
        ("every 30m", "2021-10-31T00:50", "03:00 occurs twice, as the clocks go back; this is the second"),
    ],
)
def test_the_effect_of_a_clock_change_on_a_tick_is_reported(schedule, after, words):
    timetable = Timetable.parse(schedule, tz="Europe/Riga")
    (tick,) = timetable.next_ticks(at(after), 1)
    assert timetable.clock_change(tick) == words


# -- which ticks make a run --------------------------------------------------------------------------------------------

HOURLY = {"schedule": "0 * * * *"}
NEXT_RUN = [
    # (what, options, last run, now, deployed, next run)
    ("no start date and no run: the first after the deploy", HOURLY, None, "10:30", "10:30", "11:00"),
    ("a deploy at a tick waits for the next", HOURLY, None, "10:00", "10:00", "11:00"),
    ("a scheduler that was away over one tick", HOURLY, None, "11:05", "10:30", "11:00"),
    ("one that was away over several fires the last", HOURLY, None, "14:05", "10:30", "14:00"),
    ("after a run: the next tick", HOURLY, "11:00", "11:10", "10:30", "12:00"),
    ("after a run, missed ticks: the last once", HOURLY, "11:00", "15:10", "10:30", "15:00"),
    ("then the next", HOURLY, "15:00", "15:10", "10:30", "16:00"),
    ("the clock was set back: no tick comes twice", HOURLY, "15:00", "14:10", "10:30", "16:00"),
    ("an old start date fires the last missed tick once", HOURLY | {"start_date": at("2025-01-01T00:30")}, None, "10:30", "10:30", "10:00"),
    ("a start date to come", HOURLY | {"start_date": at("2026-01-01T18:30")}, None, "10:30", "10:30", "19:00"),
    ("a start date is included", HOURLY | {"start_date": at("2026-01-01T18:00")}, None, "10:30", "10:30", "18:00"),
    ("a last run before the start date brings no tick before it", HOURLY | {"start_date": at("2026-01-01T18:00")}, "09:00", "10:30", "08:00", "18:00"),
    ("catchup: from the start date on", HOURLY | {"start_date": at("2026-01-01T05:30"), "catchup": True}, None, "10:30", "10:30", "06:00"),
    ("catchup: after the last run", HOURLY | {"start_date": at("2026-01-01T05:30"), "catchup": True}, "06:00", "10:30", "10:30", "07:00"),
    ("catchup: not before a start date that was moved", HOURLY | {"start_date": at("2026-01-01T09:30"), "catchup": True}, "06:00", "10:30", "10:30", "10:00"),
    ("the end date is included", HOURLY | {"end_date": at("2026-01-01T11:00")}, None, "10:30", "10:30", "11:00"),
    ("nothing after the end date", HOURLY | {"end_date": at("2026-01-01T10:59")}, None, "10:30", "10:30", None),
    ("once, at the deploy", {"schedule": "@once"}, None, "10:35", "10:30", "10:30"),
    ("once, at the start date", {"schedule": "@once", "start_date": at("2026-01-01T12:00")}, None, "10:35", "10:30", "12:00"),
    ("once, not again", {"schedule": "@once"}, "10:30", "10:35", "10:30", None),
    ("continuous: now", {"schedule": "@continuous"}, None, "10:35", "10:30", "10:35"),
    ("continuous: again", {"schedule": "@continuous"}, "10:35", "10:36", "10:30", "10:36"),
    ("continuous: from the start date on", {"schedule": "@continuous", "start_date": at("2026-01-01T12:00")}, None, "10:36", "10:30", "12:00"),
    ("continuous: until the end date", {"schedule": "@continuous", "end_date": at("2026-01-01T10:00")}, None, "10:36", "10:30", None),
    ("no schedule", {"schedule": None}, None, "10:36", "10:30", None),
    ("an interval counts from the start date", {"schedule": "every 7h", "start_date": at("2026-01-01T01:00")}, None, "10:36", "10:30", "08:00"),
    ("an interval, to come", {"schedule": "every 7h", "start_date": at("2026-01-01T01:00")}, "08:00", "10:36", "10:30", "15:00"),
    ("an interval's first tick is its start date", {"schedule": "every 7h", "start_date": at("2026-01-01T11:00")}, None, "10:36", "10:30", "11:00"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "last", "now", "deployed", "expected"),
    [case[1:] for case in NEXT_RUN],
    ids=[case[0] for case in NEXT_RUN],
)
def test_the_next_run(options, last, now, deployed, expected):
    def today(text):
        return None if text is None else at(f"2026-01-01T{text}")

    timetable = Timetable.of(DagOptions(**options))
    assert timetable.next_run(today(last), today(now), today(deployed)) == today(expected)


def test_a_continuous_schedule_repeats_no_date_when_the_clock_is_set_back():
    last = at("2026-01-01T10:00")
    tick = Timetable.parse("@continuous").next_run(last, last - DAY, last - DAY)
    assert tick is not None
    assert tick > last


def test_a_continuous_schedule_has_one_active_run():
    assert Timetable.parse("@continuous").max_active_runs == 1
    assert Timetable.parse("@daily").max_active_runs is None


@pytest.mark.parametrize(
    ("catchup", "last", "expected"),
    [
        (True, None, ["01", "02", "03", "04"]),
        (True, "2026-01-02", ["03", "04"]),
        (False, None, ["04"]),
        (False, "2026-01-04", []),
    ],
)
def test_the_runs_that_are_due(catchup, last, expected):
    timetable = Timetable.parse("@daily", start_date=at("2026-01-01"), catchup=catchup)
    due = timetable.due(last and at(last), at("2026-01-04T12:00"), at("2025-12-01"))
    assert [f"{tick:%d}" for tick in due] == expected


def test_nothing_is_due_before_its_time_or_after_the_end():
    timetable = Timetable.parse("@daily", start_date=at("2026-01-02"), end_date=at("2026-01-03"), catchup=True)
    assert list(timetable.due(None, at("2026-01-01T12:00"), at("2026-01-01"))) == []
    assert list(timetable.due(None, at("2026-01-09"), at("2026-01-01"))) == [at("2026-01-02"), at("2026-01-03")]
    assert list(Timetable.parse("@once").due(None, at("2026-01-09"), at("2026-01-01"))) == [at("2026-01-01")]


def test_next_ticks_stay_between_the_start_and_the_end_date():
    timetable = Timetable.parse("@daily", start_date=at("2026-01-02"), end_date=at("2026-01-04"))
    assert timetable.next_ticks(at("2025-01-01"), 9) == (at("2026-01-02"), at("2026-01-03"), at("2026-01-04"))
    once = Timetable.parse("@once", start_date=at("2026-01-02"))
    assert once.next_ticks(at("2025-01-01"), 9) == (at("2026-01-02"),)
    assert once.next_ticks(at("2026-01-02"), 9) == ()


@pytest.mark.parametrize(
    ("schedule", "tick", "start"),
    [
        ("@daily", "2026-01-02", "2026-01-01"),
        ("@monthly", "2026-03-01", "2026-02-01"),
        ("@yearly", "2026-01-01", "2025-01-01"),
        ("0 0 29 2 *", "2104-02-29", "2096-02-29"),
        ("0 6 * * mon-fri", "2026-01-05T06:00", "2026-01-02T06:00"),
        ("@daily", "2026-01-02T05:00", "2026-01-02"),  # of a manual run: since the last tick
        ("every 15m", "2026-01-02T05:00", "2026-01-02T04:45"),
        ("@once", "2026-01-02", "2026-01-02"),
        (None, "2026-01-02", "2026-01-02"),
    ],
)
def test_the_data_interval_is_the_time_since_the_tick_before(schedule, tick, start):
    assert Timetable.parse(schedule).data_interval(at(tick)) == (at(start), at(tick))


def test_a_continuous_run_covers_the_time_since_the_last():
    timetable = Timetable.parse("@continuous")
    assert timetable.data_interval(at("2026-01-02"), at("2026-01-01")) == (at("2026-01-01"), at("2026-01-02"))


def test_a_backfill_covers_the_ticks_from_start_to_end_date():
    timetable = Timetable.parse("@daily", start_date=at("2026-01-02"), end_date=at("2026-01-05"))
    for first, last, days in (("01", "03", ["02", "03"]), ("03", "09", ["03", "04", "05"]), ("06", "09", [])):
        found = timetable.between(at(f"2026-01-{first}"), at(f"2026-01-{last}"))
        assert [f"{tick:%d}" for tick in found] == days
    assert list(Timetable.parse(None).between(at("2026-01-01"), at("2026-01-03"))) == []


def test_a_year_of_hourly_ticks_is_caught_up_with():
    timetable = Timetable.parse("@hourly", tz="Europe/Riga", start_date=datetime(2021, 1, 1), catchup=True)
    ticks = list(timetable.due(None, at("2021-12-31T21:59"), at("2021-01-01")))
    assert len(ticks) == 365 * 24  # real hours: what goes missing in spring comes back in autumn
    assert {b - a for a, b in pairwise(ticks)} == {timedelta(hours=1)}


@pytest.mark.slow
@given(
    st.sampled_from(["@hourly", "30 3 * * *", "*/20 */8 * * *", "0 0 L * *", "every 1d", "every 7h", "0 12 * * sun"]),
    st.sampled_from(["UTC", "Europe/Riga", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.datetimes(datetime(2011, 12, 1), datetime(2012, 11, 1)),
    st.booleans(),
    st.lists(st.timedeltas(timedelta(), timedelta(days=2)), min_size=1, max_size=8),
)
def test_runs_strictly_increase_and_with_catchup_no_tick_is_missed(schedule, zone, start, catchup, steps):
    timetable = Timetable.parse(schedule, tz=zone, start_date=start, catchup=catchup)
    now = deployed = start.replace(tzinfo=timetable.zone).astimezone(UTC)
    last, runs = None, []
    for step in steps:
        now += step
        while (tick := timetable.next_run(last, now, deployed)) is not None and tick <= now:
            runs.append(tick)
            last = tick
    assert all(a < b for a, b in pairwise(runs))
    every = list(timetable.between(deployed, now))
    if catchup:
        assert runs == every
    else:
        assert set(runs) <= set(every)
        assert runs[-1:] == every[-1:]  # the last missed tick is never lost


# -- what is refused, when it is declared ------------------------------------------------------------------------------

REFUSED = [
    ("* * * * * *", "has 6 fields; a cron expression has five"),
    ("0 0 * * * * 2026", "has 7 fields"),
    ("* * * *", "has 4 fields"),
    ("R * * * *", "has a random minute"),
    ("0 R(0-6) * * *", "has a random hour"),
    ("H * * * *", "has a random minute"),
    ("H/15 * * * *", "has a random minute"),
    ("@reboot", "is an unknown preset; expected one of @hourly, "),
    ("@dayly", "is an unknown preset; did you mean @daily?"),
    ("0 0 30 2 *", "has no tick, because no such day exists"),
    ("0 0 31 4,6 *", "has no tick"),
    ("61 * * * *", "has '61' as its minute; write values from 0 to 59"),
    ("0 24 * * *", "has '24' as its hour"),
    ("0 0 32 * *", "has '32' as its day of the month"),
    ("0 0 * 13 *", "has '13' as its month"),
    ("0 0 * * mond", "has 'mond' as its day of the week"),
    ("0 0 * * 1#6", "has '1#6' as its day of the week"),
    ("*/0 * * * *", "has '*/0' as its minute"),
    ("0 0 1 * 5#2", "restricts its day by both 1 and 5#2"),
    ("0 0 15W * 1", "restricts its day by both 15W and 1"),
    ("every", "is not an interval"),
    ("every day", "is not an interval"),
    ("every 0s", "is shorter than a second"),
    ("daily", "has 1 field; a cron expression has five"),
]


@pytest.mark.parametrize(("schedule", "words"), REFUSED)
def test_an_invalid_schedule_is_rejected_in_one_sentence(schedule, words):
    with pytest.raises(ScheduleError) as refused:
        Timetable.parse(schedule)
    assert str(refused.value).startswith(f"schedule {schedule!r} {words}")
    assert "; " in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tz": "Europe/Rigga"}, "tz 'Europe/Rigga' is not a time zone; did you mean Europe/Riga?"),
        ({"tz": "../etc/passwd"}, "is not a time zone"),
        ({"start_date": at("2026-01-02"), "end_date": at("2026-01-01")}, "the end date is before the start date"),
        ({"catchup": True}, "catchup needs a start date; add one, such as --start-date 2026-01-01"),
    ],
)
def test_invalid_dates_and_zones_are_rejected(options, words):
    with pytest.raises(ScheduleError, match=words.replace("?", r"\?").replace(".", r"\.")):
        Timetable.parse("@daily", **options)


@given(st.text("0123456789*/-,LWRH# @abcdeghmnorsuvy", max_size=20))
def test_any_schedule_is_parsed_or_rejected(text):
    try:
        ticks = Timetable.parse(text).next_ticks(at("2026-01-01"), 2)
    except ScheduleError as refused:
        assert str(refused)
    else:
        assert all(a < b for a, b in pairwise(ticks))
