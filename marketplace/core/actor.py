"""Who acts: every service call carries an actor, so that tenancy, rights and the audit trail have one source."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class OrganisationKind(StrEnum):
    """The three kinds of organisation (domain.md)."""

    ENTERPRISE = "enterprise"
    VENDOR = "vendor"
    OPERATOR = "operator"


class Role(StrEnum):
    """A person's role in an organisation; the last five exist only in the operator's."""

    OWNER = "owner"
    MANAGER = "manager"
    REVIEWER = "reviewer"
    FINANCE = "finance"
    WORKER = "worker"
    VETTING_OFFICER = "vetting_officer"
    QUALITY_ASSESSOR = "quality_assessor"
    ARBITRATOR = "arbitrator"
    OPERATOR_FINANCE = "operator_finance"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a token may be used for; an API key holds a subset, a person's session holds those of the roles."""

    PROFILE = "profile"
    ORGANISATION = "organisation"
    REQUESTS_READ = "requests:read"
    REQUESTS_WRITE = "requests:write"
    BIDS = "bids"
    WORK = "work"
    QUALITY = "quality"
    MONEY_READ = "money:read"
    MONEY_WRITE = "money:write"
    VETTING = "vetting"
    OPERATE = "operate"


class ActorKind(StrEnum):
    """A signed-in person, an API key of an organisation, or Kapok itself (a job)."""

    PERSON = "person"
    API_KEY = "api_key"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller: who, acting for which organisation (None: for themselves, as a worker), with which rights."""

    kind: ActorKind
    id: UUID
    organisation_id: UUID | None = None
    organisation_kind: OrganisationKind | None = None
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[Scope] = frozenset()

    @property
    def principal(self) -> str:
        """The name under which rate limits, idempotency keys and the audit trail know this actor."""
        return f"{self.kind}:{self.id}"

    @property
    def is_operator(self) -> bool:
        """Whether the actor acts for the operator of this Kapok."""
        return self.organisation_kind is OrganisationKind.OPERATOR or self.kind is ActorKind.SYSTEM


SYSTEM = Actor(kind=ActorKind.SYSTEM, id=UUID(int=0), scopes=frozenset(Scope))
