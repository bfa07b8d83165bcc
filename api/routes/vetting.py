"""Vendors and workers say who they are and apply with papers; the operator's officers decide, with a reason."""

from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Form, Query, UploadFile, status

from api.auth import Allow
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.identity.queries import visible_organisation
from marketplace.vetting import papers, policy, queries, service
from marketplace.vetting.errors import ProfileUnknown
from marketplace.vetting.models import VettingFile
from marketplace.vetting.schemas import (
    Apply,
    Decide,
    DecisionView,
    PaperAddressView,
    PaperView,
    SetVendorProfile,
    SetWorkerProfile,
    Suspend,
    VendorProfileView,
    VettingFileDetailView,
    VettingFileView,
    WorkerProfileView,
)
from marketplace.vetting.states import PaperKind, SubjectKind, VettingState

router = APIRouter(prefix="/v1", tags=["Vetting"])
Worker = Annotated[Actor, Allow(Scope.PROFILE, Role.WORKER)]
Applicant = Annotated[Actor, Allow(Scope.PROFILE, Role.WORKER, Role.OWNER, Role.MANAGER)]
Vendor = Annotated[Actor, Allow(Scope.ORGANISATION, Role.OWNER, Role.MANAGER, kind=OrganisationKind.VENDOR)]
Member = Annotated[Actor, Allow(Scope.PROFILE)]
Officer = Annotated[Actor, Allow(Scope.VETTING, Role.VETTING_OFFICER, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
Reader = Annotated[Actor, Allow(Scope.PROFILE, Role.WORKER, Role.OWNER, Role.MANAGER, Role.VETTING_OFFICER, Role.ADMIN)]
Paging = Annotated[PageQuery, Query()]
_CHUNK_BYTES: Final = 1024 * 1024
# the paper itself and the multipart frame around it
_MAX_BODY: Final = policy.MAX_PAPER_BYTES + 64 * 1024


def _row(file: VettingFile, names: dict[UUID, str]) -> VettingFileView:
    return VettingFileView(
        id=file.id,
        subject=file.subject,
        subject_id=file.subject_id,
        subject_name=names.get(file.subject_id, ""),
        state=file.state,
        created_at=file.created_at,
        expires_at=file.expires_at,
    )


async def _page(session: Session, found: tuple[list[VettingFile], str | None]) -> Page[VettingFileView]:
    names = await queries.names_of(session, found[0])
    return Page(items=[_row(file, names) for file in found[0]], next_cursor=found[1])


async def _detail(session: Session, file: VettingFile) -> VettingFileDetailView:
    row = _row(file, await queries.names_of(session, [file]))
    worker = await queries.worker_profile(session, file.subject_id)
    vendor = await queries.vendor_profile(session, file.subject_id)
    return VettingFileDetailView(
        **row.model_dump(),
        statement=file.statement,
        papers=[PaperView.model_validate(paper) for paper in await queries.papers_of(session, file)],
        decisions=[DecisionView.model_validate(step) for step in await queries.decisions_of(session, file)],
        worker_profile=WorkerProfileView.model_validate(worker) if worker else None,
        vendor_profile=VendorProfileView.model_validate(vendor) if vendor else None,
    )


@router.get("/me/worker-profile")
async def get_worker_profile(actor: Worker, session: Session) -> WorkerProfileView:
    """Return your worker profile."""
    profile = await queries.worker_profile(session, actor.id)
    if profile is None:
        raise ProfileUnknown
    return WorkerProfileView.model_validate(profile)


@router.put("/me/worker-profile")
async def set_worker_profile(actor: Worker, session: Session, body: SetWorkerProfile) -> WorkerProfileView:
    """Write your worker profile; a new country or region takes an approved worker back to the operator."""
    return WorkerProfileView.model_validate(await service.set_worker_profile(session, actor, body))


@router.get("/vendors/{organisation_id}/profile")
async def get_vendor_profile(actor: Member, session: Session, organisation_id: UUID) -> VendorProfileView:
    """Return your vendor's profile."""
    await visible_organisation(session, actor, organisation_id)
    profile = await queries.vendor_profile(session, organisation_id)
    if profile is None:
        raise ProfileUnknown
    return VendorProfileView.model_validate(profile)


@router.put("/vendors/{organisation_id}/profile")
async def set_vendor_profile(
    actor: Vendor, session: Session, organisation_id: UUID, body: SetVendorProfile
) -> VendorProfileView:
    """Write your vendor's profile; the security level is what the operator finds proven by papers."""
    return VendorProfileView.model_validate(await service.set_vendor_profile(session, actor, organisation_id, body))


@router.post("/vetting/files", status_code=status.HTTP_201_CREATED)
async def apply_for_vetting(actor: Applicant, session: Session, body: Apply) -> VettingFileDetailView:
    """Ask to be vetted: the vendor you act for, or you as a worker."""
    return await _detail(session, await service.apply(session, actor, body))


@router.get("/vetting/files")
async def list_my_vetting_files(actor: Applicant, session: Session, paging: Paging) -> Page[VettingFileView]:
    """List the vetting files of the vendor you act for, or your own, newest first."""
    _, subject_id = policy.subject_of(actor)
    return await _page(session, await queries.files_of(session, subject_id, paging))


@router.get("/vetting/queue")
async def list_vetting_queue(
    actor: Officer,  # noqa: ARG001  # the right is the point
    session: Session,
    paging: Paging,
    state: VettingState = VettingState.APPLIED,
    subject: SubjectKind | None = None,
) -> Page[VettingFileView]:
    """List all vetting files in a state, newest first."""
    return await _page(session, await queries.queue(session, paging, state=state, subject=subject))


@router.get("/vetting/files/{file_id}")
async def get_vetting_file(actor: Reader, session: Session, file_id: UUID) -> VettingFileDetailView:
    """Return a vetting file with its papers, steps and the subject's profile."""
    return await _detail(session, await queries.visible_file(session, actor, file_id))


async def _chunks(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(_CHUNK_BYTES):
        yield chunk


@router.post(
    "/vetting/files/{file_id}/uploads/papers", status_code=status.HTTP_201_CREATED, max_body_size=_MAX_BODY
)  # fmt: skip
async def add_vetting_paper(
    actor: Applicant,
    shared: Shared,
    session: Session,
    file_id: UUID,
    paper: UploadFile,
    kind: Annotated[PaperKind, Form()],
) -> PaperView:
    """Add a paper (PDF, PNG or JPEG by content, 20 MB at most) before the review or when one was asked for."""
    received = await papers.receive(
        shared.database, shared.store, actor, file_id, paper.filename or "", _chunks(paper)
    )  # fmt: skip
    added = await papers.add_paper(session, shared.store, actor, file_id, kind, received)
    return PaperView.model_validate(added)


@router.post("/vetting/files/{file_id}/papers/{paper_id}/address")
async def get_paper_address(
    actor: Reader, shared: Shared, session: Session, file_id: UUID, paper_id: UUID
) -> PaperAddressView:
    """Make an address under which the paper can be read for a short while; each one is written down."""
    url = await papers.paper_address(session, shared.settings, shared.store, actor, file_id, paper_id)
    return PaperAddressView(url=url, expires_in=shared.settings.signed_url_seconds)


@router.post("/vetting/files/{file_id}/resubmit")
async def resubmit_vetting_file(actor: Applicant, session: Session, file_id: UUID) -> VettingFileDetailView:
    """Put the file back into the queue after adding the papers that were asked for."""
    return await _detail(session, await service.resubmit(session, actor, file_id))


@router.post("/vetting/files/{file_id}/review")
async def begin_vetting_review(actor: Officer, session: Session, file_id: UUID) -> VettingFileDetailView:
    """Take a file from the queue, or a suspended one again, to look at it."""
    return await _detail(session, await service.begin_review(session, actor, file_id))


@router.post("/vetting/files/{file_id}/decision")
async def decide_vetting_file(actor: Officer, session: Session, file_id: UUID, body: Decide) -> VettingFileDetailView:
    """Approve, refuse or ask for papers; against the applicant only with a reason."""
    return await _detail(session, await service.decide(session, actor, file_id, body))


@router.post("/vetting/files/{file_id}/suspend")
async def suspend_vetting_file(actor: Officer, session: Session, file_id: UUID, body: Suspend) -> VettingFileDetailView:
    """Stop an approved vendor or worker until a person has looked again."""
    return await _detail(session, await service.suspend(session, actor, file_id, body.reason))
