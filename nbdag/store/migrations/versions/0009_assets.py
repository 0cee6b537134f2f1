"""Assets: their events, and the pipelines that need and produce them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ID = sa.String(250)


def upgrade() -> None:
    op.add_column("dags", sa.Column("events_since", sa.Double()))
    op.add_column("runs", sa.Column("events", sa.Text()))
    op.create_table(
        "asset_events",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("extra", sa.Text()),
        sa.Column("dag_id", _ID),
        sa.Column("run", _ID),
        sa.Column("task", _ID),
        sa.Column("map_index", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_events")),
    )
    op.create_index(op.f("ix_asset_events_asset_at"), "asset_events", ["asset", "at"])
    op.create_table(
        "asset_uses",
        sa.Column("dag_id", _ID, nullable=False),
        sa.Column("event_id", _NUMBER, nullable=False),
        sa.Column("run", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["asset_events.id"], name=op.f("fk_asset_uses_event_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dag_id", "event_id", name=op.f("pk_asset_uses")),
    )
    op.create_table(
        "asset_needs",
        sa.Column("dag_id", _ID, nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", "asset", name=op.f("pk_asset_needs")),
    )
    op.create_index(op.f("ix_asset_needs_asset"), "asset_needs", ["asset"])
    op.create_table(
        "asset_producers",
        sa.Column("dag_id", _ID, nullable=False),
        sa.Column("task", _ID, nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", "task", "asset", name=op.f("pk_asset_producers")),
    )
