"""What was withheld from a payout, and by which rule.

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; nothing was withheld from payouts that were made before."""
    op.add_column("payout", sa.Column("tax_minor", sa.BigInteger(), nullable=False, server_default="0"))
    op.alter_column("payout", "tax_minor", server_default=None)
    op.add_column("payout", sa.Column("tax_mode", sa.String(), nullable=True))
    op.add_column("payout", sa.Column("tax_table", sa.String(), nullable=True))
    op.add_column("payout", sa.Column("tax_authority", sa.String(), nullable=True))
    op.create_check_constraint(op.f("ck_payout_tax_not_negative"), "payout", "tax_minor >= 0")


def downgrade() -> None:
    """Drop the columns."""
    op.drop_constraint(op.f("ck_payout_tax_not_negative"), "payout")
    for name in ("tax_authority", "tax_table", "tax_mode", "tax_minor"):
        op.drop_column("payout", name)
