"""The owner, tags and description of a deployed notebook, by which lists are searched."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("dags", sa.Column("owner", sa.Text()))
    op.add_column("dags", sa.Column("tags", sa.Text()))
    op.add_column("dags", sa.Column("description", sa.Text()))
