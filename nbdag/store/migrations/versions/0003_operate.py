"""Add backfills, and the number of tries before a task was last cleared."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("instances", sa.Column("forgiven", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("runs", sa.Column("backfill", _NUMBER))
    op.create_index(op.f("ix_runs_backfill"), "runs", ["backfill"])
    op.create_table(
        "backfills",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("first", sa.Double(), nullable=False),
        sa.Column("last", sa.Double(), nullable=False),
        sa.Column("backwards", sa.Boolean(), nullable=False),
        sa.Column("max_active_runs", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfills")),
    )
    op.create_index(op.f("ix_backfills_dag_id"), "backfills", ["dag_id"])
