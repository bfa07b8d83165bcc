"""Members of an organisation: invitations, engagement of workers, roles and their end."""

import hashlib
import hmac
import secrets
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit import service as audit
from marketplace.core.actor import Actor, Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.states import check_step
from marketplace.identity import policy, queries
from marketplace.identity.errors import (
    AlreadyInvited,
    AlreadyMember,
    InvitationCodeWrong,
    InvitationExpired,
    InvitationUnknown,
    LastOwner,
    MemberUnknown,
)
from marketplace.identity.models import Invitation, Membership, Organisation
from marketplace.identity.schemas import AnswerInvitation, Invite
from marketplace.identity.states import INVITATION_STEPS, MEMBERSHIP_STEPS, InvitationState, MembershipState


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


async def _active_member(session: AsyncSession, organisation_id: UUID, recipient: str, role: Role) -> bool:
    person = await queries.find_person(session, recipient)
    if person is None:
        return False
    found = await session.exec(
        select(Membership.id).where(
            Membership.organisation_id == organisation_id,
            Membership.person_id == person.id,
            Membership.role == role,
            Membership.state == MembershipState.ACTIVE,
        )
    )
    return found.first() is not None


async def _close_expired(session: AsyncSession, organisation_id: UUID, recipient: str, role: Role) -> None:
    """Free the place of an open invitation whose time is over, so that another can be sent."""
    found = await session.exec(
        select(Invitation).where(
            Invitation.organisation_id == organisation_id,
            Invitation.recipient == recipient,
            Invitation.role == role,
            Invitation.state == InvitationState.OPEN,
            Invitation.expires_at <= now(),
        )
    )
    for expired in found.all():
        expired.state = InvitationState.REVOKED
        expired.answered_at = now()
    await session.flush()


async def invite(session: AsyncSession, actor: Actor, organisation_id: UUID, command: Invite) -> tuple[Invitation, str]:
    """Offer a role; return the invitation and its code, which is kept as a hash only.

    Raises:
        OrganisationUnknown: not the actor's. RoleNotOfKind, RoleNotGrantable: see `policy.check_grant`.
        AlreadyMember, AlreadyInvited.
    """
    organisation = await queries.own_organisation(session, actor, organisation_id)
    policy.check_grant(organisation.kind, actor.roles, command.role)
    recipient = policy.normalise_identifier(command.identifier)
    if await _active_member(session, organisation_id, recipient, command.role):
        raise AlreadyMember
    await _close_expired(session, organisation_id, recipient, command.role)
    code = secrets.token_urlsafe(18)
    invitation = Invitation(
        organisation_id=organisation_id,
        id=new_id(),
        recipient=recipient,
        role=command.role,
        code_digest=_digest(code),
        invited_by=actor.id,
        expires_at=now() + policy.INVITATION_LIFETIME,
    )
    try:
        async with session.begin_nested():
            session.add(invitation)
    except IntegrityError as error:
        raise AlreadyInvited from error
    audit.record(session, actor, "member.invited", f"invitation:{invitation.id}", role=str(command.role))
    return invitation, code


async def revoke_invitation(
    session: AsyncSession, actor: Actor, organisation_id: UUID, invitation_id: UUID
) -> Invitation:
    """Take an open invitation back; whoever may give the role may do it."""
    organisation = await queries.own_organisation(session, actor, organisation_id)
    invitation = await session.get(Invitation, (organisation_id, invitation_id), with_for_update=True)
    if invitation is None:
        raise InvitationUnknown
    policy.check_grant(organisation.kind, actor.roles, invitation.role)
    check_step(INVITATION_STEPS, invitation.state, InvitationState.REVOKED)
    invitation.state = InvitationState.REVOKED
    invitation.answered_at = now()
    audit.record(session, actor, "member.invitation_revoked", f"invitation:{invitation.id}")
    return invitation


async def _mine(session: AsyncSession, actor: Actor, invitation_id: UUID) -> Invitation:
    person = await queries.person_of_actor(session, actor)
    found = await session.exec(
        select(Invitation)
        .where(Invitation.id == invitation_id, col(Invitation.recipient).in_(queries.addresses_of(person)))
        .with_for_update()
    )
    invitation = found.first()
    if invitation is None:
        raise InvitationUnknown
    return invitation


async def decline(session: AsyncSession, actor: Actor, invitation_id: UUID) -> Invitation:
    """Refuse an invitation to oneself."""
    invitation = await _mine(session, actor, invitation_id)
    check_step(INVITATION_STEPS, invitation.state, InvitationState.DECLINED)
    invitation.state = InvitationState.DECLINED
    invitation.answered_at = now()
    audit.record(
        session, actor, "member.declined", f"invitation:{invitation.id}", organisation_id=invitation.organisation_id
    )
    return invitation


async def accept(session: AsyncSession, actor: Actor, invitation_id: UUID, command: AnswerInvitation) -> Membership:
    """Take an offered role; as `worker` this is the engagement by the vendor.

    Raises:
        InvitationUnknown: not addressed to the caller. InvitationExpired. InvitationCodeWrong: see `policy.needs_code`.
        TransitionRefused: it was answered before.
    """
    invitation = await _mine(session, actor, invitation_id)
    check_step(INVITATION_STEPS, invitation.state, InvitationState.ACCEPTED)
    if invitation.expires_at <= now():
        raise InvitationExpired
    right = hmac.compare_digest(invitation.code_digest, _digest(command.code or ""))
    if policy.needs_code(invitation.role) and not right:
        raise InvitationCodeWrong
    invitation.state = InvitationState.ACCEPTED
    invitation.answered_at = now()
    membership = await grant(session, invitation.organisation_id, actor.id, invitation.role)
    audit.record(
        session,
        actor,
        "member.accepted",
        f"membership:{membership.id}",
        organisation_id=invitation.organisation_id,
        role=str(invitation.role),
    )
    return membership


async def grant(session: AsyncSession, organisation_id: UUID, person_id: UUID, role: Role) -> Membership:
    """Make the person hold the role, taking up an ended membership again; the caller has checked and records it."""
    found = await session.exec(
        select(Membership)
        .where(
            Membership.organisation_id == organisation_id, Membership.person_id == person_id, Membership.role == role
        )
        .with_for_update()
    )
    membership = found.first()
    if membership is None:
        membership = Membership(organisation_id=organisation_id, id=new_id(), person_id=person_id, role=role)
        session.add(membership)
        await session.flush()
    elif membership.state is MembershipState.ENDED:
        check_step(MEMBERSHIP_STEPS, membership.state, MembershipState.ACTIVE)
        membership.state = MembershipState.ACTIVE
        membership.ended_at = None
    return membership


async def _keep_a_head(session: AsyncSession, organisation: Organisation, leaving: Membership) -> None:
    """Refuse to take the last head's role; the organisation's row lock makes the count hold until the end."""
    head = policy.HEAD_OF_KIND[organisation.kind]
    if leaving.role is not head:
        return
    found = await session.exec(
        select(func.count())
        .select_from(Membership)
        .where(
            Membership.organisation_id == organisation.id,
            Membership.role == head,
            Membership.state == MembershipState.ACTIVE,
        )
    )
    if found.one() < 2:
        raise LastOwner


def _end(session: AsyncSession, membership: Membership) -> None:
    """End a membership; a worker's contracts are looked at again, since some may rest on this engagement."""
    membership.state = MembershipState.ENDED
    membership.ended_at = now()
    if membership.role is Role.WORKER:
        emit(session, "tasks.recheck_worker", {"worker_id": str(membership.person_id)})


async def _member(session: AsyncSession, organisation_id: UUID, membership_id: UUID) -> Membership:
    membership = await session.get(Membership, (organisation_id, membership_id), with_for_update=True)
    if membership is None:
        raise MemberUnknown
    return membership


async def end(session: AsyncSession, actor: Actor, organisation_id: UUID, membership_id: UUID) -> Membership:
    """End a membership; everybody may end their own, others' as the role allows.

    Access tokens made before keep their rights until they expire (15 minutes by default).

    Raises:
        OrganisationUnknown, MemberUnknown, RoleNotGrantable, LastOwner; TransitionRefused: it has ended before.
    """
    organisation = await queries.own_organisation(session, actor, organisation_id)
    membership = await _member(session, organisation_id, membership_id)
    if membership.person_id != actor.id:
        policy.check_grant(organisation.kind, actor.roles, membership.role)
    check_step(MEMBERSHIP_STEPS, membership.state, MembershipState.ENDED)
    await _keep_a_head(session, organisation, membership)
    _end(session, membership)
    audit.record(session, actor, "member.ended", f"membership:{membership.id}", role=str(membership.role))
    return membership


async def leave_vendor(session: AsyncSession, actor: Actor, organisation_id: UUID) -> Membership:
    """End one's own engagement as a worker of a vendor.

    Raises:
        MemberUnknown: the vendor does not engage the caller.
    """
    found = await session.exec(
        select(Membership)
        .where(
            Membership.organisation_id == organisation_id,
            Membership.person_id == actor.id,
            Membership.role == Role.WORKER,
            Membership.state == MembershipState.ACTIVE,
        )
        .with_for_update()
    )
    membership = found.first()
    if membership is None:
        raise MemberUnknown
    _end(session, membership)
    audit.record(
        session, actor, "member.left", f"membership:{membership.id}", organisation_id=organisation_id, role="worker"
    )
    return membership


async def change_role(
    session: AsyncSession, actor: Actor, organisation_id: UUID, membership_id: UUID, role: Role
) -> Membership:
    """Replace a member's role by another; the actor must govern both.

    Raises:
        OrganisationUnknown, MemberUnknown, RoleNotOfKind, RoleNotGrantable, LastOwner.
        AlreadyMember: the person holds the new role already.
    """
    organisation = await queries.own_organisation(session, actor, organisation_id)
    membership = await _member(session, organisation_id, membership_id)
    before = membership.role
    policy.check_grant(organisation.kind, actor.roles, before)
    policy.check_grant(organisation.kind, actor.roles, role)
    check_step(MEMBERSHIP_STEPS, membership.state, MembershipState.ENDED)
    if before is role:
        raise AlreadyMember
    await _keep_a_head(session, organisation, membership)
    _end(session, membership)
    changed = await _take_up(session, organisation_id, membership.person_id, role)
    audit.record(session, actor, "member.role_changed", f"membership:{changed.id}", before=str(before), after=str(role))
    return changed


async def _take_up(session: AsyncSession, organisation_id: UUID, person_id: UUID, role: Role) -> Membership:
    """Grant a role that the person must not hold yet."""
    found = await session.exec(
        select(Membership.id).where(
            Membership.organisation_id == organisation_id,
            Membership.person_id == person_id,
            Membership.role == role,
            Membership.state == MembershipState.ACTIVE,
        )
    )
    if found.first() is not None:
        raise AlreadyMember
    return await grant(session, organisation_id, person_id, role)
