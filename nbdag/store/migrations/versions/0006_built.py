"""Mark the versions of a DAG that contain built tasks, so that these versions are not counted."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("versions", sa.Column("built", sa.Boolean(), nullable=False, server_default=sa.false()))
