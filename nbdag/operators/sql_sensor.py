"""The operator `sql-sensor`: SQL that is repeated until the first value of its result is true.

    %%task arrived --operator sql-sensor --connection warehouse --poke 5m --timeout 6h
    SELECT count(*) FROM orders WHERE day = :day

As in Airflow, no row, NULL, 0, "0" and an empty text are false. With `--out NAME`, NAME is the first value. `:name`,
--connection and data frames work as in `sql`. In the notebook the cell runs once.
"""

from __future__ import annotations

from typing import Any

from ..core.options.options import TaskOptions
from .bodies.calls import Piece, assigned, only_name
from .sensor import Sensor
from .sql import CONNECTION, execute, sql_call


class SqlSensor(Sensor):
    """Translates SQL into a call of `first_value`."""

    summary = (
        "The body is SQL, repeated every --poke until the first value of its result is true (not NULL, 0 or empty). "
        "--out NAME is that value."
    )
    example = (
        "%%task arrived --operator sql-sensor --connection warehouse\nSELECT count(*) FROM orders WHERE day = :day"
    )
    own_options = (CONNECTION,)

    def source(self, body: str, options: TaskOptions) -> str:
        out = only_name(options.out, "a sensor has one value")
        call = sql_call("nbdag.operators.sql_sensor:first_value", body, self.given(options))
        return assigned(out, call, sensor=True)


def first_value(*pieces: Piece, connection: Any = None) -> Any:
    """Return the first value of the last result, or None if the value is false or the result is empty."""
    result = execute(*pieces, connection=connection)
    if result is None:
        return None
    _, rows, frame = result
    if frame is not None:
        rows = list(frame.head(1).itertuples(index=False, name=None))
    value: Any = rows[0][0] if rows and rows[0] else None
    if hasattr(value, "item"):
        value = value.item()
    return None if value in (0, "0", "", None) or value != value else value
