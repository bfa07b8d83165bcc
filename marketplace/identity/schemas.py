"""Commands and views of identity."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import phonenumbers
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from marketplace.core.actor import OrganisationKind, Role, Scope
from marketplace.identity.policy import PASSWORD_MAX_LENGTH
from marketplace.identity.states import InvitationState, MembershipState, OrganisationState


def _known_country(code: str) -> str:
    # every territory with a telephone plan of its own: the inhabited ones of ISO 3166-1
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("not an ISO 3166-1 alpha-2 code")
    return code


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
OrganisationName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=200)]
Identifier = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=254)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_MAX_LENGTH)]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$"), AfterValidator(_known_country)]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$")]


class Command(BaseModel):
    """What a caller asks for; an unknown field is a mistake and is refused."""

    model_config = ConfigDict(extra="forbid")


class SignUp(Command):
    """Make an account."""

    identifier: Annotated[Identifier, Field(description="E-mail address, or phone number with its country (+86 …)")]
    password: Password
    display_name: Name
    locale: Locale = "zh-CN"


class SignIn(Command):
    """Prove who you are; without `organisation_id` you act for your only organisation, or else for yourself."""

    identifier: Identifier
    password: Password
    organisation_id: UUID | None = None


class Refresh(Command):
    """Exchange a refresh token for new tokens; without one the cookie is read."""

    refresh_token: Annotated[str | None, Field(max_length=200)] = None


class Switch(Command):
    """Act for another of your organisations, or (null) for yourself; ends the refresh token that is given."""

    organisation_id: UUID | None
    refresh_token: Annotated[str | None, Field(max_length=200)] = None


class ChangeMe(Command):
    """Change what is said about you; a field left out stays."""

    display_name: Name | None = None
    locale: Locale | None = None


class ChangePassword(Command):
    """Take another password; every sign-in of yours ends."""

    password: Password
    new_password: Password


class FoundOrganisation(Command):
    """Make an enterprise or a vendor; you become its owner."""

    kind: OrganisationKind
    name: OrganisationName
    country: Country
    region: Region | None = None


class Invite(Command):
    """Offer a role to whoever holds this e-mail address or phone number."""

    identifier: Identifier
    role: Role


class AnswerInvitation(Command):
    """Accept; roles other than worker need the code that the sender received."""

    code: Annotated[str | None, Field(max_length=100)] = None


class ChangeRole(Command):
    """Give a member another role."""

    role: Role


class MakeApiKey(Command):
    """Make a key for a program of your enterprise."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1)]
    expires_at: AwareDatetime | None = None


class TokenView(BaseModel):
    """New tokens; send the access token as a bearer, keep the refresh token for one use."""

    access_token: str
    token_type: str
    expires_in: Annotated[int, Field(description="Seconds")]
    refresh_token: str
    organisation_id: UUID | None


class OrganisationView(BaseModel):
    """An organisation."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: OrganisationKind
    name: str
    country: str
    region: str | None
    state: OrganisationState
    created_at: datetime


class ContextView(BaseModel):
    """An organisation that a person may act for, and the roles there."""

    organisation: OrganisationView
    roles: list[Role]


class MeView(BaseModel):
    """The person who calls, for whom they act now, and for whom they could."""

    id: UUID
    email: str | None
    phone: str | None
    display_name: str
    locale: str
    organisation_id: UUID | None
    roles: list[Role]
    scopes: list[Scope]
    contexts: list[ContextView]


class MemberView(BaseModel):
    """One role of one person in an organisation."""

    id: UUID
    person_id: UUID
    display_name: str
    role: Role
    state: MembershipState
    created_at: datetime
    ended_at: datetime | None


class InvitationView(BaseModel):
    """An invitation as its sender sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    organisation_id: UUID
    recipient: str
    role: Role
    state: InvitationState
    expires_at: datetime


class InvitationMadeView(BaseModel):
    """A new invitation with the code that is shown this once."""

    invitation: InvitationView
    code: str


class MyInvitationView(BaseModel):
    """An invitation as its recipient sees it."""

    id: UUID
    organisation: OrganisationView
    role: Role
    needs_code: bool
    expires_at: datetime


class ApiKeyView(BaseModel):
    """An API key, without the key."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    hint: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class ApiKeyMadeView(BaseModel):
    """A new API key, shown this once."""

    api_key: ApiKeyView
    key: str
