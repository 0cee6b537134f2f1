"""The questions of tasks that a person must approve, and the answers."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("instances", sa.Column("answer", sa.Text()))
