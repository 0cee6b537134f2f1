"""Add columns for outcomes that later attempts reuse."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("runs", sa.Column("cache", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("attempts", sa.Column("cache_key", sa.String(length=64)))
    op.add_column("attempts", sa.Column("cached", sa.String(length=250)))
    op.create_index(op.f("ix_attempts_cache_key"), "attempts", ["cache_key"])
