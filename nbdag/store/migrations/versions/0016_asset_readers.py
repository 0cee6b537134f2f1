"""The assets that tasks of deployed pipelines read."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_ID = sa.String(250)


def upgrade() -> None:
    op.create_table(
        "asset_readers",
        sa.Column("dag_id", _ID, nullable=False),
        sa.Column("task", _ID, nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", "task", "asset", name=op.f("pk_asset_readers")),
    )
