"""You, your organisation, its members and API keys."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status
from pydantic import BaseModel, StringConstraints

from api.auth import Allow
from api.session import Session
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.identity import members, policy, queries, service
from marketplace.identity.models import Membership, Person
from marketplace.identity.schemas import (
    AnswerInvitation,
    ApiKeyMadeView,
    ApiKeyView,
    ChangeMe,
    ChangeRole,
    ContextView,
    FoundOrganisation,
    InvitationMadeView,
    InvitationView,
    Invite,
    MakeApiKey,
    MemberView,
    MeView,
    MyInvitationView,
    OrganisationView,
)
from marketplace.identity.states import OrganisationState

router = APIRouter(prefix="/v1", tags=["Organisations"])
Caller = Annotated[Actor, Allow(Scope.PROFILE)]
Governor = Annotated[Actor, Allow(Scope.ORGANISATION, Role.OWNER, Role.MANAGER, Role.ADMIN)]
KeyKeeper = Annotated[Actor, Allow(Scope.ORGANISATION, Role.OWNER, kind=OrganisationKind.ENTERPRISE)]
Admin = Annotated[Actor, Allow(Scope.OPERATE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
Paging = Annotated[PageQuery, Query()]


class Reason(BaseModel):
    """Why."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=2000)]


async def _me(session: Session, actor: Actor, person: Person) -> MeView:
    contexts = await queries.contexts_of(session, person.id)
    return MeView(
        id=person.id,
        email=person.email,
        phone=person.phone,
        display_name=person.display_name,
        locale=person.locale,
        organisation_id=actor.organisation_id,
        roles=sorted(actor.roles),
        scopes=sorted(actor.scopes),
        contexts=[
            ContextView(organisation=OrganisationView.model_validate(c.organisation), roles=sorted(c.roles))
            for c in contexts.values()
        ],
    )


def _member(membership: Membership, person: Person) -> MemberView:
    return MemberView(
        id=membership.id,
        person_id=person.id,
        display_name=person.display_name,
        role=membership.role,
        state=membership.state,
        created_at=membership.created_at,
        ended_at=membership.ended_at,
    )


@router.get("/me")
async def get_me(actor: Caller, session: Session) -> MeView:
    """Return who you are, for whom you act, and for whom you could."""
    return await _me(session, actor, await queries.person_of_actor(session, actor))


@router.patch("/me")
async def change_me(actor: Caller, session: Session, body: ChangeMe) -> MeView:
    """Change your display name or language."""
    return await _me(session, actor, await service.change_me(session, actor, body))


@router.get("/me/invitations")
async def list_my_invitations(actor: Caller, session: Session) -> list[MyInvitationView]:
    """List the open invitations to your e-mail address or phone number."""
    found = await queries.my_invitations(session, await queries.person_of_actor(session, actor))
    return [
        MyInvitationView(
            id=invitation.id,
            organisation=OrganisationView.model_validate(organisation),
            role=invitation.role,
            needs_code=policy.needs_code(invitation.role),
            expires_at=invitation.expires_at,
        )
        for invitation, organisation in found
    ]


@router.post("/me/invitations/{invitation_id}/accept")
async def accept_invitation(actor: Caller, session: Session, invitation_id: UUID, body: AnswerInvitation) -> MemberView:
    """Take the offered role; as a worker you are then engaged by the vendor."""
    membership = await members.accept(session, actor, invitation_id, body)
    return _member(membership, await queries.get_person(session, membership.person_id))


@router.post("/me/invitations/{invitation_id}/decline")
async def decline_invitation(actor: Caller, session: Session, invitation_id: UUID) -> InvitationView:
    """Refuse the offered role."""
    return InvitationView.model_validate(await members.decline(session, actor, invitation_id))


@router.post("/me/engagements/{organisation_id}/leave")
async def leave_vendor(actor: Caller, session: Session, organisation_id: UUID) -> MemberView:
    """End your engagement as a worker of a vendor."""
    membership = await members.leave_vendor(session, actor, organisation_id)
    return _member(membership, await queries.get_person(session, membership.person_id))


@router.post("/organisations", status_code=status.HTTP_201_CREATED)
async def found_organisation(actor: Caller, session: Session, body: FoundOrganisation) -> OrganisationView:
    """Make an enterprise or a vendor; you become its owner. Switch to it to act for it."""
    return OrganisationView.model_validate(await service.found_organisation(session, actor, body))


@router.get("/organisations/{organisation_id}")
async def get_organisation(actor: Caller, session: Session, organisation_id: UUID) -> OrganisationView:
    """Return your organisation."""
    return OrganisationView.model_validate(await queries.visible_organisation(session, actor, organisation_id))


@router.post("/organisations/{organisation_id}/suspend")
async def suspend_organisation(actor: Admin, session: Session, organisation_id: UUID, body: Reason) -> OrganisationView:
    """Stop an organisation from acting, with a written reason."""
    changed = await service.set_organisation_state(
        session, actor, organisation_id, OrganisationState.SUSPENDED, body.reason
    )
    return OrganisationView.model_validate(changed)


@router.post("/organisations/{organisation_id}/reinstate")
async def reinstate_organisation(
    actor: Admin, session: Session, organisation_id: UUID, body: Reason
) -> OrganisationView:
    """Let a suspended organisation act again."""
    changed = await service.set_organisation_state(
        session, actor, organisation_id, OrganisationState.ACTIVE, body.reason
    )
    return OrganisationView.model_validate(changed)


@router.get("/organisations/{organisation_id}/members")
async def list_members(
    actor: Governor, session: Session, organisation_id: UUID, paging: Paging, role: Role | None = None
) -> Page[MemberView]:
    """List the members of your organisation, newest first, ended ones too."""
    await queries.visible_organisation(session, actor, organisation_id)
    rows, cursor = await queries.list_members(session, organisation_id, paging, role=role)
    return Page(items=[_member(membership, person) for membership, person in rows], next_cursor=cursor)


@router.patch("/organisations/{organisation_id}/members/{membership_id}")
async def change_member_role(
    actor: Governor, session: Session, organisation_id: UUID, membership_id: UUID, body: ChangeRole
) -> MemberView:
    """Replace a member's role by another."""
    membership = await members.change_role(session, actor, organisation_id, membership_id, body.role)
    return _member(membership, await queries.get_person(session, membership.person_id))


@router.post("/organisations/{organisation_id}/members/{membership_id}/end")
async def end_membership(actor: Caller, session: Session, organisation_id: UUID, membership_id: UUID) -> MemberView:
    """End a membership: your own, or one that your role governs."""
    membership = await members.end(session, actor, organisation_id, membership_id)
    return _member(membership, await queries.get_person(session, membership.person_id))


@router.get("/organisations/{organisation_id}/invitations")
async def list_invitations(
    actor: Governor, session: Session, organisation_id: UUID, paging: Paging
) -> Page[InvitationView]:
    """List your organisation's invitations, newest first."""
    await queries.visible_organisation(session, actor, organisation_id)
    rows, cursor = await queries.list_invitations(session, organisation_id, paging)
    return Page(items=[InvitationView.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/organisations/{organisation_id}/invitations", status_code=status.HTTP_201_CREATED)
async def invite_member(actor: Governor, session: Session, organisation_id: UUID, body: Invite) -> InvitationMadeView:
    """Offer a role; send the code on, it is shown this once and needed for every role but worker."""
    invitation, code = await members.invite(session, actor, organisation_id, body)
    return InvitationMadeView(invitation=InvitationView.model_validate(invitation), code=code)


@router.post("/organisations/{organisation_id}/invitations/{invitation_id}/revoke")
async def revoke_invitation(
    actor: Governor, session: Session, organisation_id: UUID, invitation_id: UUID
) -> InvitationView:
    """Take an open invitation back."""
    return InvitationView.model_validate(
        await members.revoke_invitation(session, actor, organisation_id, invitation_id)
    )


@router.get("/organisations/{organisation_id}/api-keys")
async def list_api_keys(actor: KeyKeeper, session: Session, organisation_id: UUID, paging: Paging) -> Page[ApiKeyView]:
    """List your enterprise's API keys, newest first, revoked ones too."""
    await queries.visible_organisation(session, actor, organisation_id)
    rows, cursor = await queries.list_api_keys(session, organisation_id, paging)
    return Page(items=[ApiKeyView.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/organisations/{organisation_id}/api-keys", status_code=status.HTTP_201_CREATED)
async def make_api_key(actor: KeyKeeper, session: Session, organisation_id: UUID, body: MakeApiKey) -> ApiKeyMadeView:
    """Make an API key; it is shown this once."""
    row, key = await service.make_api_key(session, actor, organisation_id, body)
    return ApiKeyMadeView(api_key=ApiKeyView.model_validate(row), key=key)


@router.post("/organisations/{organisation_id}/api-keys/{key_id}/revoke")
async def revoke_api_key(actor: KeyKeeper, session: Session, organisation_id: UUID, key_id: UUID) -> ApiKeyView:
    """End an API key at once."""
    return ApiKeyView.model_validate(await service.revoke_api_key(session, actor, organisation_id, key_id))
