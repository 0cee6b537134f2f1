"""The folder or URL that has the files of a run."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("runs", sa.Column("files", sa.Text()))
