"""Resources that a version needs, and resources that hosts offer.

The digest of a deployed notebook's file differs from its version if files are pinned with it. A task may need
resources, and a scheduler's hosts offer some.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("dags", sa.Column("source", sa.String(64)))
    op.add_column("instances", sa.Column("resources", sa.Text()))
    op.add_column("schedulers", sa.Column("offers", sa.Text()))
