"""Add columns for deployed notebooks, and for the schedulers that run them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    no = sa.false()
    for column in (
        sa.Column("digest", sa.String(length=64)),
        sa.Column("path", sa.Text()),
        sa.Column("cwd", sa.Text()),
        sa.Column("deployed", sa.Double()),
        sa.Column("schedule", sa.Text()),
        sa.Column("tz", sa.Text()),
        sa.Column("start_date", sa.Double()),
        sa.Column("end_date", sa.Double()),
        sa.Column("catchup", sa.Boolean(), nullable=False, server_default=no),
        sa.Column("fail_fast", sa.Boolean(), nullable=False, server_default=no),
        sa.Column("max_active_runs", sa.Integer()),
        sa.Column("paused", sa.Boolean(), nullable=False, server_default=no),
        sa.Column("last_date", sa.Double()),
        sa.Column("next_date", sa.Double()),
    ):
        op.add_column("dags", column)
    op.create_index(op.f("ix_dags_next_date"), "dags", ["next_date"])
    op.add_column("schedulers", sa.Column("kind", sa.String(length=16), nullable=False, server_default="run"))
    op.add_column("schedulers", sa.Column("ended", sa.Double()))
    op.create_index("ix_runs_before", "runs", ["dag_id", "kind", "logical_date"])
    op.create_index("ix_attempts_under_way", "attempts", ["state", "scheduler_id"])
