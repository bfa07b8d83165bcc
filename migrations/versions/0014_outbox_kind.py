"""Jobs of a kind that wait are found without reading all that wait.

Revision: 0014, after 0013.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_outbox_kind_id"), "outbox", ["kind", "id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_outbox_kind_id"), table_name="outbox")
