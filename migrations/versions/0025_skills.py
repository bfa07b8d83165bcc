"""Skills: measured ones with evidence and history, requesters' own, and what requests demand.

Revision: 0025, after 0024.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_FIGURES = ("value", "low", "high", "evidence")
_BOUNDS = "0 <= value AND value <= 100"


def _made() -> sa.Column[Any]:
    return sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False)


def _skill_of_worker() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in _FIGURES),
    )


def upgrade() -> None:
    op.create_table(
        "worker_skill",
        _made(),
        *_skill_of_worker(),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.CheckConstraint(_BOUNDS, name=op.f("ck_worker_skill_value_of_a_hundred")),
        sa.PrimaryKeyConstraint("worker_id", "subject", "language", name=op.f("pk_worker_skill")),
    )
    op.create_table(
        "skill_history",
        _made(),
        sa.Column("id", sa.Uuid(), nullable=False),
        *_skill_of_worker(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skill_history")),
    )
    of_worker = ["worker_id", "subject", "language", "id"]
    op.create_index(op.f("ix_skill_history_worker_id_subject_language_id"), "skill_history", of_worker)
    op.create_table(
        "skill_evidence",
        _made(),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("right", sa.Float(), nullable=False),
        sa.Column("wrong", sa.Float(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "request_id", name=op.f("pk_skill_evidence")),
    )
    op.create_index(op.f("ix_skill_evidence_request_id"), "skill_evidence", ["request_id"])
    _own_and_demanded()


def _own_and_demanded() -> None:
    op.create_table(
        "own_skill",
        _made(),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.CheckConstraint(_BOUNDS, name=op.f("ck_own_skill_value_of_a_hundred")),
        sa.PrimaryKeyConstraint("organisation_id", "worker_id", "name", name=op.f("pk_own_skill")),
    )
    op.create_index(op.f("ix_own_skill_worker_id"), "own_skill", ["worker_id"])
    op.create_table(
        "skill_requirement",
        _made(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("skill", sa.String(), nullable=False),
        sa.Column("is_own", sa.Boolean(), nullable=False),
        sa.Column("at_least", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skill_requirement")),
    )
    op.create_index(op.f("ix_skill_requirement_request_id"), "skill_requirement", ["request_id"])
    op.execute("REVOKE DELETE, TRUNCATE ON worker_skill, skill_evidence, skill_history, own_skill FROM kapok_app")


def downgrade() -> None:
    for table in ("skill_requirement", "own_skill", "skill_evidence", "skill_history", "worker_skill"):
        op.drop_table(table)
