"""Add the metrics of attempts: the numbers among their values.

The metrics of earlier attempts are read from the recorded summaries of the values.
"""

import math
import re

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SUMMARY = re.compile(r"(?:scalar \w+: )?(-?\d[\d.e+-]*|-?inf|nan|True|False)")
_BOOLS = {"True": 1.0, "False": 0.0}


def upgrade() -> None:
    metrics = op.create_table(
        "metrics",
        sa.Column("instance_id", _NUMBER, nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("marked", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "try_number", "name", name=op.f("pk_metrics")),
        sa.ForeignKeyConstraint(
            ["instance_id", "try_number"],
            ["attempts.instance_id", "attempts.try_number"],
            name=op.f("fk_metrics_instance_id_attempts"),
            ondelete="CASCADE",
        ),
    )
    outputs = sa.table("outputs", *map(sa.column, ("instance_id", "try_number", "name", "type", "summary")))
    is_plain = outputs.c.type.in_(("int", "float", "bool")) | outputs.c.type.like("numpy.%")
    earlier = sa.select(outputs).where(is_plain, sa.func.length(outputs.c.summary) < 60)
    found = []
    for instance, attempt, name, _, summary in op.get_bind().execute(earlier):
        if (number := _SUMMARY.fullmatch(summary)) is not None:
            value = _BOOLS[number[1]] if number[1] in _BOOLS else float(number[1])
            found.append(
                {
                    "instance_id": instance,
                    "try_number": attempt,
                    "name": name,
                    "value": None if math.isnan(value) else value,
                    "marked": False,
                    "position": 0,
                }
            )
    op.bulk_insert(metrics, found)
