"""Control rules, what they did, and skills: for the requester, the operator, and the worker they are about."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response

from api.auth import Allow
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.quality import integrity
from marketplace.quality.control import service as control
from marketplace.quality.control.rules import ControlRules
from marketplace.quality.control.schemas import ControlActionView, ControlRulesView, DryRun, WithReason
from marketplace.quality.skills import service as skills
from marketplace.quality.skills.record import sign_record
from marketplace.quality.skills.schemas import OwnSkillView, Requirements, SetOwnSkill, WorkerSkills

router = APIRouter(prefix="/v1", tags=["Quality"])

Author = Annotated[Actor, Allow(Scope.REQUESTS_WRITE, kind=OrganisationKind.ENTERPRISE)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
Worker = Annotated[Actor, Allow(Scope.WORK, Role.WORKER)]
Operator = Annotated[Actor, Allow(Scope.OPERATE, Role.ADMIN, Role.ARBITRATOR, kind=OrganisationKind.OPERATOR)]
OperatorQuality = Annotated[
    Actor,
    Allow(
        Scope.QUALITY, Role.ARBITRATOR, Role.QUALITY_ASSESSOR, Role.ADMIN, kind=OrganisationKind.OPERATOR,
    ),
]  # fmt: skip
Paging = Annotated[PageQuery, Depends()]
Kind = Annotated[str | None, Query(max_length=32, description="Only actions of this kind, such as `notify`")]
Objection = Annotated[bool, Query(description="Only actions to which their worker objects")]
Named = Annotated[str, Path(min_length=1, max_length=80)]


@router.get("/requests/{request_id}/control-rules")
async def get_control_rules(request_id: UUID, actor: Reader, session: Session) -> ControlRulesView:
    """Show the control rules of my request that are in force."""
    return await control.rules_of(session, actor, request_id)


@router.put("/requests/{request_id}/control-rules")
async def put_control_rules(request_id: UUID, body: ControlRules, actor: Author, session: Session) -> ControlRulesView:
    """Put control rules in force from now on, before or during production; a version is never changed."""
    return await control.put_rules(session, actor, request_id, body)


@router.post("/requests/{request_id}/control-rules/dry-run")
async def dry_run_control_rules(
    request_id: UUID, actor: Reader, session: Session, body: ControlRules | None = None
) -> DryRun:
    """Show what rules (without a body: those in force) would have done on all that has happened; nothing is done."""
    return await control.dry_run(session, actor, request_id, body)


@router.get("/requests/{request_id}/control-actions")
async def list_control_actions(
    request_id: UUID, actor: Reader, session: Session, query: Paging, kind: Kind = None
) -> Page[ControlActionView]:
    """List what control rules did on my request, newest first."""
    return await control.actions_on_request(session, actor, request_id, query, kind)


@router.post("/requests/{request_id}/control-actions/{action_id}/lift")
async def lift_control_action(
    request_id: UUID, action_id: UUID, body: WithReason, actor: Author, session: Session
) -> ControlActionView:
    """End an action before its time, with a reason; a paused worker may claim again at once."""
    return await control.lift(session, actor, request_id, action_id, body.reason)


@router.get("/requests/{request_id}/integrity")
async def list_integrity(
    request_id: UUID, actor: Reader, session: Session, query: Paging
) -> Page[integrity.IntegrityView]:
    """List what the tests for spammers, copiers and bots found on my request, with their rates of false alarms."""
    return await integrity.integrity_of_request(session, actor, request_id, query)


@router.get("/platform/control-rules")
async def get_platform_control_rules(_actor: Operator, session: Session) -> ControlRulesView:
    """Show the control rules that hold on every request."""
    return await control.platform_rules(session)


@router.put("/platform/control-rules")
async def put_platform_control_rules(actor: Operator, session: Session, body: ControlRules) -> ControlRulesView:
    """Put control rules in force on every request, from now on."""
    return await control.put_platform_rules(session, actor, body)


@router.get("/platform/control-actions")
async def list_platform_control_actions(
    _actor: OperatorQuality, session: Session, query: Paging, objection: Objection = False
) -> Page[ControlActionView]:
    """List what the platform's rules did on all requests, newest first, with what workers say against it."""
    return await control.actions_of_platform(session, query, with_objection=objection)


@router.post("/platform/control-actions/{action_id}/lift")
async def lift_any_control_action(
    action_id: UUID, body: WithReason, actor: OperatorQuality, session: Session
) -> ControlActionView:
    """End an action of the platform's rules, or of any request's, before its time, with a reason."""
    return await control.lift_as_operator(session, actor, action_id, body.reason)


@router.get("/me/control-actions")
async def list_my_control_actions(actor: Worker, session: Session, query: Paging) -> Page[ControlActionView]:
    """List what control rules did to me: by which rule, on what figures, until when."""
    return await control.actions_on_worker(session, actor.id, query)


@router.post("/me/control-actions/{action_id}/objection")
async def object_to_control_action(
    action_id: UUID, body: WithReason, actor: Worker, session: Session
) -> ControlActionView:
    """Say why an action on me is wrong; the requester and the operator read it and may lift the action."""
    return await control.object_to(session, actor, action_id, body.reason)


@router.get("/requests/{request_id}/skill-requirements")
async def get_skill_requirements(request_id: UUID, actor: Reader, session: Session) -> Requirements:
    """Show the skills that my request demands."""
    return await skills.requirements_of(session, actor, request_id)


@router.put("/requests/{request_id}/skill-requirements")
async def put_skill_requirements(request_id: UUID, body: Requirements, actor: Author, session: Session) -> Requirements:
    """Demand skills of those who begin on my request from now on; who has begun goes on."""
    return await skills.put_requirements(session, actor, request_id, body)


@router.put("/requests/{request_id}/workers/{worker}/own-skills/{name}")
async def set_own_skill(
    request_id: UUID, worker: Named, name: Named, body: SetOwnSkill, actor: Author, session: Session
) -> OwnSkillView:
    """Set a skill of our own for somebody who works on my request, named by their pseudonym there."""
    return await skills.set_own_skill(session, actor, request_id, worker, name, body)


@router.get("/me/skills")
async def my_skills(actor: Worker, session: Session) -> WorkerSkills:
    """Show my measured skills with their history, and what requesters hold of me."""
    return await skills.skills_of_worker(session, actor.id)


@router.get("/me/skills/record")
async def my_skill_record(actor: Worker, session: Session, shared: Shared) -> Response:
    """Return my measured skills as a signed file; `kapok skill verify` checks it without Kapok."""
    content = sign_record(shared.settings, actor.id, await skills.skills_of_worker(session, actor.id))
    return Response(content, media_type="application/json")
