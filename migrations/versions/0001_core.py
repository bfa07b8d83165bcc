"""The application role, and the tables of core and audit.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The role is the cluster's, not the database's: it stays at a downgrade, and two databases may make it at once.
_MAKE_ROLE = """
DO $$ BEGIN
  CREATE ROLE kapok_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""
_RIGHTS = (
    "GRANT kapok_app TO CURRENT_USER",
    "GRANT USAGE ON SCHEMA public TO kapok_app",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO kapok_app",
    "GRANT SELECT ON alembic_version TO kapok_app",
)


def _made() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute(_MAKE_ROLE)
    for statement in _RIGHTS:
        op.execute(statement)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _made(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("context", JSONB(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_outbox_unsent", "outbox", ["due_at"], postgresql_where=sa.text("sent_at IS NULL"))
    op.create_index("ix_outbox_sent", "outbox", ["sent_at"], postgresql_where=sa.text("sent_at IS NOT NULL"))
    op.create_table("processed", sa.Column("job_id", sa.Uuid(), primary_key=True), _made())
    op.create_index("ix_processed_created_at", "processed", ["created_at"])
    op.create_table(
        "dead_letter",
        sa.Column("job_id", sa.Uuid(), primary_key=True),
        _made(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolution", sa.String()),
    )
    op.create_index("ix_dead_letter_kind", "dead_letter", ["kind"])
    op.create_table(
        "idempotency_record",
        sa.Column("principal", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        _made(),
        sa.Column("asked", sa.String(), nullable=False),
        sa.Column("answer", JSONB()),
    )
    op.create_index("ix_idempotency_record_created_at", "idempotency_record", ["created_at"])
    op.create_table(
        "schedule",
        sa.Column("kind", sa.String(), primary_key=True),
        _made(),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _made(),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("organisation_id", sa.Uuid()),
        sa.Column("facts", JSONB(), nullable=False),
    )
    op.create_index("ix_audit_entry_subject_id", "audit_entry", ["subject", "id"])
    op.create_index("ix_audit_entry_organisation_id_id", "audit_entry", ["organisation_id", "id"])
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON audit_entry FROM kapok_app")


def downgrade() -> None:
    for table in ("audit_entry", "schedule", "idempotency_record", "dead_letter", "processed", "outbox"):
        op.drop_table(table)
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM kapok_app")
    op.execute("REVOKE ALL ON SCHEMA public FROM kapok_app")
    op.execute("REVOKE ALL ON alembic_version FROM kapok_app")
