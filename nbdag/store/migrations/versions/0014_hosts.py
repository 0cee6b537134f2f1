"""Add the digest of a deployed notebook's file, the resources that tasks need, and the resources that hosts offer.

The digest of the file differs from the digest of the version if other files are pinned with the notebook.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("dags", sa.Column("source", sa.String(64)))
    op.add_column("instances", sa.Column("resources", sa.Text()))
    op.add_column("schedulers", sa.Column("offers", sa.Text()))
