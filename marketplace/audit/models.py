"""The table of the trail."""

from typing import Any
from uuid import UUID

from sqlalchemy import Index

from marketplace.core.tables import Identified, json_field


class AuditEntry(Identified, table=True):
    """One act: `principal` did `action` to `subject` ("request:0192…"), for an organisation, with facts about it."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index(None, "subject", "id"), Index(None, "organisation_id", "id"))

    principal: str
    action: str
    subject: str
    organisation_id: UUID | None = None
    facts: dict[str, Any] = json_field(default_factory=dict)
