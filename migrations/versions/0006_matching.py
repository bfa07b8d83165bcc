"""Tables of matching.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _state(table: str, name: str, *values: str) -> list[sa.schema.SchemaItem]:
    allowed = ", ".join(f"'{value}'" for value in values)
    return [
        sa.Column(name, sa.String(32), nullable=False),
        sa.CheckConstraint(f"{name} IN ({allowed})", name=op.f(f"ck_{table}_{name}")),
    ]


def _of_request(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "id", name=op.f(f"pk_{table}")),
    ]


def _bid() -> None:
    op.create_table(
        "bid",
        *_of_request("bid"),
        sa.Column("vendor_organisation_id", sa.Uuid(), nullable=False),
        *_state("bid", "state", "draft", "sealed", "opened", "won", "lost", "withdrawn"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.String(), nullable=False),
        sa.Column("opened", postgresql.JSONB(), nullable=True),
        sa.Column("score", postgresql.JSONB(), nullable=True),
        sa.UniqueConstraint(
            "request_id", "vendor_organisation_id", name=op.f("uq_bid_request_id_vendor_organisation_id")
        ),
    )
    op.create_index(op.f("ix_bid_vendor_organisation_id_id"), "bid", ["vendor_organisation_id", "id"])


def _award() -> None:
    op.create_table(
        "award",
        *_of_request("award"),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("formula", postgresql.JSONB(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(), nullable=False),
        sa.UniqueConstraint("request_id", name=op.f("uq_award_request_id")),
    )


def _contract() -> None:
    op.create_table(
        "contract",
        *_of_request("contract"),
        sa.Column("vendor_organisation_id", sa.Uuid(), nullable=True),
        sa.Column("first_position", sa.Integer(), nullable=False),
        sa.Column("end_position", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("platform_fee_bps", sa.Integer(), nullable=False),
        sa.Column("worker_share_bps", sa.Integer(), nullable=False),
        sa.Column("pay_workers_directly", sa.Boolean(), nullable=False),
        *_state("contract", "assignment", "open", "reserved"),
        sa.Column("delivery_at", sa.DateTime(timezone=True), nullable=False),
        *_state("contract", "state", "active", "completed", "cancelled"),
        sa.CheckConstraint("unit_price > 0", name=op.f("ck_contract_price_positive")),
        sa.CheckConstraint("end_position > first_position", name=op.f("ck_contract_positions_in_order")),
    )
    op.create_index(op.f("ix_contract_vendor_organisation_id_id"), "contract", ["vendor_organisation_id", "id"])


def upgrade() -> None:
    _bid()
    _award()
    _contract()


def downgrade() -> None:
    op.drop_table("contract")
    op.drop_table("award")
    op.drop_table("bid")
