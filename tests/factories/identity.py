"""People, organisations and vetted parties for tests, made by their tables and not by way of the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import count

from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import Actor, ActorKind, OrganisationKind, Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.identity import policy
from marketplace.identity.models import Membership, Organisation, Person
from marketplace.vetting.models import VendorProfile, VettingFile, WorkerProfile
from marketplace.vetting.states import Modality, SubjectKind, VettingState

PASSWORD = "correct horse battery staple"
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who acts: the person, the organisation they act for (if any), and the actor of both."""

    person: Person
    organisation: Organisation | None
    actor: Actor


@lru_cache(maxsize=1)
def _password_hash() -> str:
    return PasswordHasher().hash(PASSWORD)


async def make_person(
    session: AsyncSession,
    *,
    email: str | None = None,
    phone: str | None = None,
    display_name: str = "韦小木",
    locale: str = "zh-CN",
) -> Person:
    """Make a person who can sign in with PASSWORD."""
    if email is None and phone is None:
        email = f"person-{next(_NUMBERS)}-{new_id().hex[-8:]}@kapok.example"
    person = Person(email=email, phone=phone, display_name=display_name, locale=locale, password_hash=_password_hash())
    session.add(person)
    await session.flush()
    return person


async def make_organisation(
    session: AsyncSession,
    kind: OrganisationKind = OrganisationKind.ENTERPRISE,
    *,
    name: str = "",
    country: str = "CN",
    region: str | None = "CN-GX",
) -> Organisation:
    """Make an organisation without members."""
    named = name or f"{kind} {next(_NUMBERS)}"
    organisation = Organisation(kind=kind, name=named, country=country, region=region)
    session.add(organisation)
    await session.flush()
    return organisation


async def make_member(
    session: AsyncSession, organisation: Organisation, *roles: Role, person: Person | None = None
) -> Party:
    """Give a (new) person roles in the organisation; the actor holds just these."""
    person = person or await make_person(session)
    for role in roles:
        session.add(Membership(organisation_id=organisation.id, person_id=person.id, role=role))
    await session.flush()
    return Party(person, organisation, actor_for(person, organisation, *roles))


def actor_for(person: Person, organisation: Organisation | None = None, *roles: Role) -> Actor:
    """Return the person acting for themselves as a worker, or for the organisation with these roles."""
    if organisation is None:
        return Actor(kind=ActorKind.PERSON, id=person.id, roles=policy.PERSONAL_ROLES, scopes=policy.PERSONAL_SCOPES)
    held = frozenset(roles)
    return Actor(
        kind=ActorKind.PERSON,
        id=person.id,
        organisation_id=organisation.id,
        organisation_kind=organisation.kind,
        roles=held,
        scopes=policy.scopes_of(organisation.kind, held),
    )


async def make_enterprise(session: AsyncSession, *roles: Role, **options: str) -> Party:
    """Make an enterprise and its owner (or a member with other roles)."""
    organisation = await make_organisation(session, OrganisationKind.ENTERPRISE, **options)
    return await make_member(session, organisation, *(roles or (Role.OWNER,)))


async def make_vendor(session: AsyncSession, *roles: Role, **options: str) -> Party:
    """Make a vendor that has not applied, and its owner."""
    organisation = await make_organisation(session, OrganisationKind.VENDOR, **options)
    return await make_member(session, organisation, *(roles or (Role.OWNER,)))


async def make_operator(session: AsyncSession, *roles: Role) -> Party:
    """Make the operator (there can be one a database) and its admin (or a member with other roles)."""
    organisation = await make_organisation(session, OrganisationKind.OPERATOR)
    return await make_member(session, organisation, *(roles or (Role.ADMIN,)))


async def _approve(session: AsyncSession, subject: SubjectKind, party: Party) -> None:
    subject_id = party.actor.organisation_id or party.actor.id
    session.add(
        VettingFile(
            subject_id=subject_id,
            subject=subject,
            state=VettingState.APPROVED,
            statement="",
            applied_by=party.person.id,
            expires_at=now() + timedelta(days=365),
        )
    )
    await session.flush()


async def make_approved_vendor(
    session: AsyncSession,
    *,
    name: str = "",
    country: str = "CN",
    region: str | None = "CN-GX",
    languages: Sequence[str] = ("zh", "vi", "th"),
    modalities: Sequence[Modality] = tuple(Modality),
    capacity_per_day: int = 10_000,
    security_level: int = 2,
) -> Party:
    """Make an approved vendor and its owner."""
    organisation = await make_organisation(session, OrganisationKind.VENDOR, name=name, country=country, region=region)
    party = await make_member(session, organisation, Role.OWNER)
    session.add(
        VendorProfile(
            organisation_id=organisation.id,
            languages=list(languages),
            modalities=list(modalities),
            capacity_per_day=capacity_per_day,
            security_level=security_level,
            about="",
        )
    )
    await _approve(session, SubjectKind.VENDOR, party)
    return party


async def make_approved_worker(
    session: AsyncSession,
    *,
    languages: Sequence[str] = ("zh", "vi", "th"),
    country: str = "CN",
    region: str | None = "CN-GX",
    skills: Mapping[str, int] | None = None,
    vendors: Sequence[Organisation] = (),
) -> Party:
    """Make an approved worker who acts for themselves, engaged by these vendors."""
    person = await make_person(session)
    session.add(
        WorkerProfile(
            person_id=person.id, languages=list(languages), country=country, region=region, skills=dict(skills or {})
        )
    )
    for vendor in vendors:
        await make_member(session, vendor, Role.WORKER, person=person)
    party = Party(person, None, actor_for(person))
    await _approve(session, SubjectKind.WORKER, party)
    return party


def bearer(app: FastAPI, party: Party) -> dict[str, str]:
    """Return the header by which a client of the app is this party."""
    return {"Authorization": f"Bearer {app.state.token_signer.access_token(party.actor, party.person)}"}
