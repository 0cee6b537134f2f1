"""The executor of a process that executes runs, and the hosts on which it executes attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("schedulers", sa.Column("executor", sa.Text()))
    op.add_column("schedulers", sa.Column("hosts", sa.Text()))
