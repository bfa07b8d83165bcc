"""What tops a worker's pay up to the minimum is a line of the enterprise's invoice.

Revision: 0022, after 0021.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_KINDS = ("work", "bonus", "claw_back", "reverse")


def upgrade() -> None:
    _allow(*_KINDS, "minimum_pay")


def downgrade() -> None:
    _allow(*_KINDS)


def _allow(*kinds: str) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.execute("ALTER TABLE invoice_line DROP CONSTRAINT ck_invoice_line_kind")
    op.execute(f"ALTER TABLE invoice_line ADD CONSTRAINT ck_invoice_line_kind CHECK (kind IN ({listed}))")
