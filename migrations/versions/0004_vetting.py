"""Tables of vetting.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATES = ("applied", "in_review", "needs_papers", "approved", "refused", "expired", "suspended")


def _made() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "vetting_file",
        _made(),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", _choice("subject", "worker", "vendor"), nullable=False),
        sa.Column(
            "state",
            _choice("state", *_STATES),
            nullable=False,
        ),
        sa.Column("statement", sa.String(5000), nullable=False),
        sa.Column("applied_by", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("subject_id", "id", name=op.f("pk_vetting_file")),
    )
    op.create_index(
        "ix_vetting_file_expiring", "vetting_file", ["expires_at"], postgresql_where=sa.text("state = 'approved'")
    )
    op.create_index(op.f("ix_vetting_file_id"), "vetting_file", ["id"])
    op.create_index(op.f("ix_vetting_file_state_id"), "vetting_file", ["state", "id"])
    op.create_index(
        "uq_vetting_file_open",
        "vetting_file",
        ["subject_id"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('refused', 'expired')"),
    )
    op.create_table(
        "vendor_profile",
        _made(),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("languages", JSONB(), nullable=False),
        sa.Column("modalities", JSONB(), nullable=False),
        sa.Column("capacity_per_day", sa.Integer(), nullable=False),
        sa.Column("security_level", sa.Integer(), nullable=False),
        sa.Column("about", sa.String(5000), nullable=False),
        sa.CheckConstraint("capacity_per_day > 0", name=op.f("ck_vendor_profile_capacity_per_day")),
        sa.CheckConstraint("security_level BETWEEN 0 AND 5", name=op.f("ck_vendor_profile_security_level")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name=op.f("fk_vendor_profile_organisation_id")
        ),
        sa.PrimaryKeyConstraint("organisation_id", name=op.f("pk_vendor_profile")),
    )
    op.create_table(
        "vetting_decision",
        _made(),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column(
            "verdict",
            _choice("verdict", *_STATES),
            nullable=False,
        ),
        sa.Column("reason", sa.String(5000), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id", "file_id"],
            ["vetting_file.subject_id", "vetting_file.id"],
            name=op.f("fk_vetting_decision_subject_id_file_id"),
        ),
        sa.PrimaryKeyConstraint("subject_id", "id", name=op.f("pk_vetting_decision")),
    )
    op.create_index(op.f("ix_vetting_decision_subject_id_file_id"), "vetting_decision", ["subject_id", "file_id"])
    op.create_table(
        "vetting_paper",
        _made(),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            _choice(
                "kind",
                "business_licence",
                "identity_document",
                "residence",
                "security_certificate",
                "language_certificate",
                "training_certificate",
                "other",
            ),
            nullable=False,
        ),
        sa.Column("filename", sa.String(200), nullable=False),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("uploaded_by", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id", "file_id"],
            ["vetting_file.subject_id", "vetting_file.id"],
            name=op.f("fk_vetting_paper_subject_id_file_id"),
        ),
        sa.PrimaryKeyConstraint("subject_id", "id", name=op.f("pk_vetting_paper")),
    )
    op.create_index(op.f("ix_vetting_paper_subject_id_file_id"), "vetting_paper", ["subject_id", "file_id"])
    op.create_table(
        "worker_profile",
        _made(),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("languages", JSONB(), nullable=False),
        sa.Column("country", sa.String(2), nullable=False),
        sa.Column("region", sa.String(6), nullable=True),
        sa.Column("skills", JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_worker_profile_person_id")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_worker_profile")),
    )
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON vetting_decision FROM kapok_app")


def downgrade() -> None:
    for table in ("worker_profile", "vetting_paper", "vetting_decision", "vendor_profile", "vetting_file"):
        op.drop_table(table)
