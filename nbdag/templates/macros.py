"""The filters, the `macros` and the dates that templates can use, as in Airflow.

`macros` contains single functions of Python's modules, because whole modules would let a template leave the
sandbox.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Self
from zoneinfo import ZoneInfo

_DAY = "%Y-%m-%d"
_UNITS = ("year", "month", "week", "day", "hour", "minute", "second")


class Moment(datetime):
    """A date and time with the methods of pendulum that templates of Airflow use."""

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """Return the same moment as a `Moment`."""
        return cls(
            moment.year,
            moment.month,
            moment.day,
            moment.hour,
            moment.minute,
            moment.second,
            moment.microsecond,
            moment.tzinfo,
            fold=moment.fold,
        )

    def add(self, *, years: int = 0, months: int = 0, **units: float) -> Self:
        """Return a later moment; units are weeks, days, hours, minutes, seconds and microseconds."""
        total = self.month - 1 + months
        year, month = self.year + years + total // 12, total % 12 + 1
        day = min(self.day, _days_of(year, month))
        return self.of(self.replace(year=year, month=month, day=day) + timedelta(**units))

    def subtract(self, *, years: int = 0, months: int = 0, **units: float) -> Self:
        """Return an earlier moment, with the units of `add`."""
        return self.add(years=-years, months=-months, **{name: -value for name, value in units.items()})

    def start_of(self, unit: str) -> Self:
        """Return the first moment of this year, month, week, day, hour, minute or second."""
        if unit not in _UNITS:
            raise ValueError(f"unknown unit {unit!r}; expected one of {', '.join(_UNITS)}")
        size = _UNITS.index(unit)
        cut = self.replace(
            hour=0 if size < _UNITS.index("hour") else self.hour,
            minute=0 if size < _UNITS.index("minute") else self.minute,
            second=0 if size < _UNITS.index("second") else self.second,
            microsecond=0,
        )
        if unit == "week":
            return self.of(cut - timedelta(days=cut.weekday()))
        return self.of(
            cut.replace(month=1, day=1) if unit == "year" else cut.replace(day=1) if unit == "month" else cut
        )

    def end_of(self, unit: str) -> Self:
        """Return the last microsecond of this year, month, week, day, hour, minute or second."""
        return self.start_of(unit).add(**{f"{unit}s": 1}).subtract(microseconds=1)

    def in_timezone(self, name: str) -> Self:
        """Return the same moment in another time zone, such as "Europe/Paris"."""
        return self.of(self.astimezone(ZoneInfo(name)))

    in_tz = in_timezone

    @property
    def int_timestamp(self) -> int:
        """The whole seconds since the epoch."""
        return int(self.timestamp())

    def to_date_string(self) -> str:
        """Return the date, such as 2026-01-31."""
        return self.strftime(_DAY)

    def to_time_string(self) -> str:
        """Return the time, such as 06:00:00."""
        return self.strftime("%H:%M:%S")

    def to_datetime_string(self) -> str:
        """Return date and time, such as 2026-01-31 06:00:00."""
        return self.strftime(f"{_DAY} %H:%M:%S")

    def to_iso8601_string(self) -> str:
        """Return date, time and time zone, with Z for UTC."""
        text = self.isoformat()
        return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _days_of(year: int, month: int) -> int:
    following = date(year + month // 12, month % 12 + 1, 1)
    return (following - timedelta(days=1)).day


def ds(moment: date) -> str:
    """Return the date, such as 2026-01-31."""
    return moment.strftime(_DAY)


def ds_nodash(moment: date) -> str:
    """Return the date without dashes, such as 20260131."""
    return moment.strftime("%Y%m%d")


def ts(moment: date) -> str:
    """Return date, time and time zone, such as 2026-01-31T06:00:00+00:00."""
    return moment.isoformat()


def ts_nodash(moment: date) -> str:
    """Return date and time without separators, such as 20260131T060000."""
    return moment.strftime("%Y%m%dT%H%M%S")


def ts_nodash_with_tz(moment: date) -> str:
    """Return date, time and time zone without separators, such as 20260131T060000+0000."""
    return moment.isoformat().replace("-", "").replace(":", "")


def _or_none(function: Callable[[Any], str]) -> Callable[[Any], str | None]:
    return lambda moment: None if moment is None else function(moment)


FILTERS: Mapping[str, Callable[[Any], str | None]] = {
    each.__name__: _or_none(each) for each in (ds, ds_nodash, ts, ts_nodash, ts_nodash_with_tz)
}


def ds_add(day: str, days: int) -> str:
    """Return the date, such as 2026-01-31, that is `days` days after `day`; a negative number goes back."""
    return ds(datetime.strptime(str(day), _DAY) + timedelta(days=int(days)))


def ds_format(day: str, input_format: str, output_format: str) -> str:
    """Convert a date from one format to another. Both are formats of `strftime`."""
    return datetime.strptime(str(day), input_format).strftime(output_format)


def macros() -> SimpleNamespace:
    """Return Airflow's `macros`."""
    from dateutil import parser, relativedelta

    return SimpleNamespace(
        datetime=datetime,
        timedelta=timedelta,
        ds_add=ds_add,
        ds_format=ds_format,
        random=random.random,
        json=SimpleNamespace(loads=json.loads, dumps=json.dumps),
        uuid=SimpleNamespace(UUID=uuid.UUID, uuid1=uuid.uuid1, uuid3=uuid.uuid3, uuid4=uuid.uuid4, uuid5=uuid.uuid5),
        time=SimpleNamespace(time=time.time, strftime=time.strftime, gmtime=time.gmtime),
        dateutil=SimpleNamespace(
            parser=SimpleNamespace(parse=parser.parse),
            relativedelta=SimpleNamespace(relativedelta=relativedelta.relativedelta),
        ),
        utc=UTC,
    )
