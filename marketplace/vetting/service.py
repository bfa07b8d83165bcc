"""Profiles, applications and the operator's decisions."""

from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit import service as audit
from marketplace.core.actor import SYSTEM, Actor, ActorKind
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.states import check_step
from marketplace.identity.errors import OrganisationUnknown
from marketplace.identity.models import Membership
from marketplace.identity.policy import check_region
from marketplace.identity.states import MembershipState
from marketplace.vetting import policy, queries
from marketplace.vetting.errors import (
    FileOpen,
    FileUnknown,
    OwnFile,
    ProfileMissing,
    ResidenceInReview,
    SubjectNotVetted,
)
from marketplace.vetting.models import Decision, VendorProfile, VettingFile, WorkerProfile
from marketplace.vetting.schemas import Apply, Decide, SetVendorProfile, SetWorkerProfile
from marketplace.vetting.states import VETTING_STEPS, SubjectKind, VettingState

_EXPIRED_AT_ONCE: Final = 500


def _languages(tags: list[str]) -> list[str]:
    return sorted({policy.normalise_tag(tag) for tag in tags})


async def _step(
    session: AsyncSession, actor: Actor, file: VettingFile, target: VettingState, reason: str
) -> VettingFile:
    """Move a locked file, and write down who did it and why."""
    check_step(VETTING_STEPS, file.state, target)
    before, file.state = file.state, target
    if before is VettingState.APPROVED and file.subject is SubjectKind.WORKER:
        emit(session, "tasks.recheck_worker", {"worker_id": str(file.subject_id)})
    session.add(
        Decision(
            subject_id=file.subject_id,
            id=new_id(),
            file_id=file.id,
            verdict=target,
            reason=reason,
            decided_by=actor.id if actor.kind is ActorKind.PERSON else None,
        )
    )
    audit.record(
        session,
        actor,
        f"vetting.{target}",
        f"vetting_file:{file.id}",
        subject_id=str(file.subject_id),
        before=str(before),
    )
    await session.flush()
    return file


async def set_worker_profile(session: AsyncSession, actor: Actor, command: SetWorkerProfile) -> WorkerProfile:
    """Write the caller's worker profile.

    Where a worker works decides which data they may see, so a change of it takes an approved worker back to the
    operator (suspended until a person has looked again).

    Raises:
        SubjectNotVetted: the caller acts for an organisation. RegionOutsideCountry, LanguageTagInvalid.
        ResidenceInReview: country and region stand still while they are being checked.
    """
    subject, person_id = policy.subject_of(actor)
    if subject is not SubjectKind.WORKER:
        raise SubjectNotVetted
    check_region(command.country, command.region)
    languages = _languages(command.languages)
    # the lock on the file orders this change and a decision about it
    file = await queries.open_file(session, person_id, lock=True)
    profile = await session.get(WorkerProfile, person_id, with_for_update=True)
    if profile is None:
        profile = WorkerProfile(person_id=person_id, languages=languages, country=command.country, skills={})
        session.add(profile)
    elif (profile.country, profile.region) != (command.country, command.region) and file is not None:
        await _recheck_residence(session, file)
    profile.languages = languages
    profile.country, profile.region = command.country, command.region
    profile.skills = dict(command.skills)
    await session.flush()
    return profile


async def _recheck_residence(session: AsyncSession, file: VettingFile) -> None:
    if file.state is VettingState.IN_REVIEW:
        raise ResidenceInReview
    if file.state is VettingState.APPROVED:
        await _step(session, SYSTEM, file, VettingState.SUSPENDED, "The place of work has changed.")


async def set_vendor_profile(
    session: AsyncSession, actor: Actor, organisation_id: UUID, command: SetVendorProfile
) -> VendorProfile:
    """Write the profile of the caller's vendor; its proven security level is not the vendor's to set.

    Raises:
        OrganisationUnknown: not the caller's. SubjectNotVetted: not a vendor. LanguageTagInvalid.
    """
    if organisation_id != actor.organisation_id:
        raise OrganisationUnknown
    subject, _ = policy.subject_of(actor)
    if subject is not SubjectKind.VENDOR:
        raise SubjectNotVetted
    profile = await session.get(VendorProfile, organisation_id, with_for_update=True)
    if profile is None:
        profile = VendorProfile(
            organisation_id=organisation_id, languages=[], modalities=[], capacity_per_day=1, about=""
        )  # fmt: skip
    profile.languages = _languages(command.languages)
    profile.modalities = sorted(set(command.modalities))
    profile.capacity_per_day = command.capacity_per_day
    profile.about = command.about
    session.add(profile)
    await session.flush()
    return profile


async def apply(session: AsyncSession, actor: Actor, command: Apply) -> VettingFile:
    """Ask to be vetted: the vendor that the actor acts for, or the actor as a worker.

    Raises:
        SubjectNotVetted; ProfileMissing: say first who you are.
        FileOpen: one file at a time.
    """
    subject, subject_id = policy.subject_of(actor)
    profile = VendorProfile if subject is SubjectKind.VENDOR else WorkerProfile
    if await session.get(profile, subject_id) is None:
        raise ProfileMissing
    file = VettingFile(
        subject_id=subject_id, id=new_id(), subject=subject, statement=command.statement, applied_by=actor.id
    )
    try:
        async with session.begin_nested():
            session.add(file)
    except IntegrityError as error:
        raise FileOpen from error
    audit.record(session, actor, "vetting.applied", f"vetting_file:{file.id}", subject_id=str(subject_id))
    return file


async def resubmit(session: AsyncSession, actor: Actor, file_id: UUID) -> VettingFile:
    """Put a file back into the queue after the papers that were asked for have been added.

    Raises:
        FileUnknown: not the caller's; TransitionRefused: nothing was asked for.
    """
    file = await queries.visible_file(session, actor, file_id, lock=True)
    if file.subject_id != policy.subject_of(actor)[1]:
        raise FileUnknown
    return await _step(session, actor, file, VettingState.APPLIED, "Papers added.")


async def _check_not_own(session: AsyncSession, actor: Actor, file: VettingFile) -> None:
    found = await session.exec(
        select(Membership.id)
        .where(
            Membership.organisation_id == file.subject_id,
            Membership.person_id == actor.id,
            col(Membership.state) == MembershipState.ACTIVE,
        )
        .limit(1)
    )
    if file.subject_id == actor.id or found.first() is not None:
        raise OwnFile


async def begin_review(session: AsyncSession, actor: Actor, file_id: UUID) -> VettingFile:
    """Take a file from the queue (or a suspended one again) to look at it.

    Raises:
        FileUnknown; OwnFile: one's own file, or that of one's organisation; TransitionRefused.
    """
    file = await queries.visible_file(session, actor, file_id, lock=True)
    await _check_not_own(session, actor, file)
    return await _step(session, actor, file, VettingState.IN_REVIEW, "")


async def decide(session: AsyncSession, actor: Actor, file_id: UUID, command: Decide) -> VettingFile:
    """End a review: approve for a year, refuse, or ask for papers.

    Raises:
        FileUnknown, OwnFile, TransitionRefused; ReasonMissing: a decision against the applicant has one.
    """
    file = await queries.visible_file(session, actor, file_id, lock=True)
    await _check_not_own(session, actor, file)
    policy.check_reason(command.verdict, command.reason)
    await _step(session, actor, file, command.verdict, command.reason)
    if command.verdict is VettingState.APPROVED:
        file.expires_at = now() + policy.APPROVAL_LIFETIME
        if file.subject is SubjectKind.VENDOR and command.security_level is not None:
            await _prove_level(session, file.subject_id, command.security_level)
    await session.flush()
    return file


async def _prove_level(session: AsyncSession, organisation_id: UUID, level: int) -> None:
    profile = await session.get(VendorProfile, organisation_id, with_for_update=True)
    if profile is None:
        raise ProfileMissing
    profile.security_level = level


async def suspend(session: AsyncSession, actor: Actor, file_id: UUID, reason: str) -> VettingFile:
    """Stop an approved subject until a person has looked again.

    Raises:
        FileUnknown, OwnFile, ReasonMissing; TransitionRefused: it is not approved.
    """
    file = await queries.visible_file(session, actor, file_id, lock=True)
    await _check_not_own(session, actor, file)
    policy.check_reason(VettingState.SUSPENDED, reason)
    return await _step(session, actor, file, VettingState.SUSPENDED, reason)


async def expire_due(session: AsyncSession) -> int:
    """End approvals whose year is over, some hundreds a call; return how many.

    An approval counts as ended from its minute on, whether or not this has run: the reads compare the time too.
    """
    found = await session.exec(
        select(VettingFile)
        .where(VettingFile.state == VettingState.APPROVED, col(VettingFile.expires_at) <= now())
        .order_by(col(VettingFile.expires_at))
        .limit(_EXPIRED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    files = found.all()
    for file in files:
        await _step(session, SYSTEM, file, VettingState.EXPIRED, "The approval's year is over.")
    return len(files)
