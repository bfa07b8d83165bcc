"""More gold after implausibly fast work; lots of labels reviewed by sample, the items drawn, and what reviewers found.

Revision: 0023, after 0028.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request_worker", sa.Column("more_gold", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("request_worker", "more_gold")
