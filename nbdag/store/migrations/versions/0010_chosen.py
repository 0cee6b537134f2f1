"""Add the tasks and groups that a branch task chose."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("instances", sa.Column("chosen", sa.Text()))
