"""Add the number of tasks that a scheduler executes at once, so that `why` can report that all are taken."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("schedulers", sa.Column("jobs", sa.Integer()))
