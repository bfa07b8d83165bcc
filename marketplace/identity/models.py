"""Tables of people, organisations and their proofs. No secret is stored: passwords as argon2id, tokens as SHA-256."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field

from marketplace.core.actor import OrganisationKind, Role
from marketplace.core.ids import new_id
from marketplace.core.tables import Identified, OfOrganisation, Timed, enum_field, json_field
from marketplace.identity.states import InvitationState, MembershipState, OrganisationState


def _digest_field() -> Any:
    return Field(sa_type=LargeBinary)


class Person(Identified, table=True):
    """A human being with an account; e-mail in lower case, phone in E.164, at least one of the two."""

    __tablename__ = "person"
    __table_args__ = (CheckConstraint("email IS NOT NULL OR phone IS NOT NULL", name="reachable"),)

    email: str | None = Field(default=None, unique=True, max_length=254)
    phone: str | None = Field(default=None, unique=True, max_length=16)
    display_name: str = Field(max_length=100)
    locale: str = Field(max_length=35)
    password_hash: str
    disabled_at: datetime | None = None


class Organisation(Identified, table=True):
    """An enterprise, a vendor or the operator; the root of a tenant. Country by ISO 3166-1, region by ISO 3166-2."""

    __tablename__ = "organisation"
    __table_args__ = (
        Index("uq_organisation_one_operator", "kind", unique=True, postgresql_where=text("kind = 'operator'")),
    )

    kind: OrganisationKind = enum_field(OrganisationKind, "kind")
    name: str = Field(max_length=200)
    country: str = Field(max_length=2)
    region: str | None = Field(default=None, max_length=6)
    state: OrganisationState = enum_field(OrganisationState, "state", OrganisationState.ACTIVE)


class Membership(OfOrganisation, table=True):
    """A person's role in an organisation; as role `worker` in a vendor's it is the engagement of that worker."""

    __tablename__ = "membership"
    __table_args__ = (UniqueConstraint("organisation_id", "person_id", "role"), Index(None, "person_id", "state"))

    organisation_id: UUID = Field(primary_key=True, foreign_key="organisation.id")
    person_id: UUID = Field(foreign_key="person.id")
    role: Role = enum_field(Role, "role")
    state: MembershipState = enum_field(MembershipState, "state", MembershipState.ACTIVE)
    ended_at: datetime | None = None


class Invitation(OfOrganisation, table=True):
    """An offer of a role to whoever holds this e-mail address or phone number."""

    __tablename__ = "invitation"
    __table_args__ = (
        Index(
            "uq_invitation_open", "organisation_id", "recipient", "role",
            unique=True, postgresql_where=text("state = 'open'"),
        ),
        Index(None, "recipient", "state"),
    )  # fmt: skip

    organisation_id: UUID = Field(primary_key=True, foreign_key="organisation.id")
    recipient: str = Field(max_length=254)
    role: Role = enum_field(Role, "role")
    state: InvitationState = enum_field(InvitationState, "state", InvitationState.OPEN)
    code_digest: bytes = _digest_field()
    invited_by: UUID
    expires_at: datetime
    answered_at: datetime | None = None


class RefreshToken(Timed, table=True):
    """One link of a chain of refresh tokens; `family_id` is the sign-in that the chain began with."""

    __tablename__ = "refresh_token"
    __table_args__ = (Index(None, "person_id", "family_id"), Index(None, "expires_at"))

    person_id: UUID = Field(primary_key=True, foreign_key="person.id")
    id: UUID = Field(default_factory=new_id, primary_key=True)
    family_id: UUID
    organisation_id: UUID | None = None
    digest: bytes = _digest_field()
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None


class ApiKey(OfOrganisation, table=True):
    """A key by which an enterprise's own programs act; the key itself is shown once and kept as a hash."""

    __tablename__ = "api_key"

    organisation_id: UUID = Field(primary_key=True, foreign_key="organisation.id")
    name: str = Field(max_length=100)
    digest: bytes = _digest_field()
    hint: str = Field(max_length=8)
    scopes: list[str] = json_field()
    created_by: UUID
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
