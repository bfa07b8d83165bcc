"""Reads of identity."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import Actor, OrganisationKind, Role
from marketplace.core.clock import now
from marketplace.core.paging import PageQuery, read_page
from marketplace.identity.errors import OrganisationUnknown, PersonsOnly, PersonUnknown
from marketplace.identity.models import ApiKey, Invitation, Membership, Organisation, Person
from marketplace.identity.states import InvitationState, MembershipState, OrganisationState


@dataclass(frozen=True, slots=True)
class Context:
    """An organisation a person may act for, and the roles there."""

    organisation: Organisation
    roles: frozenset[Role]


async def find_person(session: AsyncSession, identifier: str) -> Person | None:
    """Return the person who holds this (normalised) e-mail address or phone number."""
    column = col(Person.email) if "@" in identifier else col(Person.phone)
    found = await session.exec(select(Person).where(column == identifier))
    return found.first()


async def get_person(session: AsyncSession, person_id: UUID) -> Person:
    """Return a person, or raise `PersonUnknown`."""
    person = await session.get(Person, person_id)
    if person is None:
        raise PersonUnknown
    return person


async def person_of_actor(session: AsyncSession, actor: Actor) -> Person:
    """Return the person who calls; raise `PersonsOnly` for an API key or a job."""
    if actor.kind != "person":
        raise PersonsOnly
    return await get_person(session, actor.id)


async def contexts_of(session: AsyncSession, person_id: UUID) -> dict[UUID, Context]:
    """Return the active organisations the person may act for.

    The role worker gives no such right: a worker acts for themselves, engaged or not.
    """
    found = await session.exec(
        select(Organisation, Membership.role)
        .join(Membership, col(Membership.organisation_id) == col(Organisation.id))
        .where(
            Membership.person_id == person_id,
            Membership.state == MembershipState.ACTIVE,
            Membership.role != Role.WORKER,
            Organisation.state == OrganisationState.ACTIVE,
        )
        .order_by(col(Organisation.id))
    )
    contexts: dict[UUID, Context] = {}
    for organisation, role in found.all():
        held = contexts[organisation.id].roles if organisation.id in contexts else frozenset()
        contexts[organisation.id] = Context(organisation, held | {Role(role)})
    return contexts


async def visible_organisation(session: AsyncSession, actor: Actor, organisation_id: UUID) -> Organisation:
    """Return an organisation the actor acts for, or any to the operator; else raise `OrganisationUnknown`."""
    if organisation_id != actor.organisation_id and not actor.is_operator:
        raise OrganisationUnknown
    organisation = await session.get(Organisation, organisation_id)
    if organisation is None:
        raise OrganisationUnknown
    return organisation


async def own_organisation(session: AsyncSession, actor: Actor, organisation_id: UUID) -> Organisation:
    """Return the organisation the actor acts for, locked against a change of its members until the transaction ends.

    Raises:
        OrganisationUnknown: it is another's, the operator's look included: who may see may not govern.
    """
    if organisation_id != actor.organisation_id:
        raise OrganisationUnknown
    found = await session.exec(select(Organisation).where(Organisation.id == organisation_id).with_for_update())
    organisation = found.first()
    if organisation is None:
        raise OrganisationUnknown
    return organisation


async def organisations_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, Organisation]:
    """Return organisations by id; unknown ids are left out. For views that name the other side."""
    found = await session.exec(select(Organisation).where(col(Organisation.id).in_(list(ids))))
    return {organisation.id: organisation for organisation in found.all()}


async def people_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Return people by id; unknown ids are left out."""
    found = await session.exec(select(Person).where(col(Person.id).in_(list(ids))))
    return {person.id: person for person in found.all()}


async def list_members(
    session: AsyncSession, organisation_id: UUID, query: PageQuery, *, role: Role | None = None
) -> tuple[list[tuple[Membership, Person]], str | None]:
    """Return a page of memberships with their people, newest first."""
    statement = select(Membership).where(Membership.organisation_id == organisation_id)
    if role is not None:
        statement = statement.where(Membership.role == role)
    rows, cursor = await read_page(session, statement, Membership.id, query)
    people = await people_by_id(session, {row.person_id for row in rows})
    return [(row, people[row.person_id]) for row in rows], cursor


async def list_invitations(
    session: AsyncSession, organisation_id: UUID, query: PageQuery
) -> tuple[list[Invitation], str | None]:
    """Return a page of an organisation's invitations, newest first."""
    statement = select(Invitation).where(Invitation.organisation_id == organisation_id)
    return await read_page(session, statement, Invitation.id, query)


async def my_invitations(session: AsyncSession, person: Person) -> list[tuple[Invitation, Organisation]]:
    """Return the open invitations to the person's e-mail address or phone number, newest first, 200 at most."""
    found = await session.exec(
        select(Invitation, Organisation)
        .join(Organisation, col(Organisation.id) == col(Invitation.organisation_id))
        .where(
            col(Invitation.recipient).in_(addresses_of(person)),
            Invitation.state == InvitationState.OPEN,
            Invitation.expires_at > now(),
            Organisation.state == OrganisationState.ACTIVE,
        )
        .order_by(col(Invitation.id).desc())
        .limit(200)
    )
    return list(found.all())


def addresses_of(person: Person) -> list[str]:
    """Return under which addresses a person can be invited."""
    return [address for address in (person.email, person.phone) if address]


async def list_api_keys(
    session: AsyncSession, organisation_id: UUID, query: PageQuery
) -> tuple[list[ApiKey], str | None]:
    """Return a page of an organisation's API keys, newest first, revoked ones too."""
    return await read_page(session, select(ApiKey).where(ApiKey.organisation_id == organisation_id), ApiKey.id, query)


async def engaged_vendor_ids(session: AsyncSession, person_id: UUID) -> set[UUID]:
    """Return the active vendors that engage this worker."""
    found = await session.exec(
        select(Membership.organisation_id)
        .join(Organisation, col(Organisation.id) == col(Membership.organisation_id))
        .where(
            Membership.person_id == person_id,
            Membership.role == Role.WORKER,
            Membership.state == MembershipState.ACTIVE,
            Organisation.state == OrganisationState.ACTIVE,
        )
    )
    return set(found.all())


async def operator_organisation(session: AsyncSession) -> Organisation | None:
    """Return the operator of this Kapok, once it exists."""
    found = await session.exec(select(Organisation).where(Organisation.kind == OrganisationKind.OPERATOR))
    return found.first()
