"""A delivery's evidence can be exported: all that its quality report is computed from.

Revision: 0027, after 0026.
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_FORMATS = ("jsonl", "csv", "parquet")


def upgrade() -> None:
    _allow(*_FORMATS, "evidence")


def downgrade() -> None:
    op.execute("DELETE FROM export WHERE format = 'evidence'")
    _allow(*_FORMATS)


def _allow(*formats: str) -> None:
    listed = ", ".join(f"'{name}'" for name in formats)
    op.execute("ALTER TABLE export DROP CONSTRAINT ck_export_format")
    op.execute(f"ALTER TABLE export ADD CONSTRAINT ck_export_format CHECK (format IN ({listed}))")
