"""Reads of vetting."""

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, String, Uuid, bindparam, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from marketplace.core.actor import Actor, Scope
from marketplace.core.clock import now
from marketplace.core.paging import PageQuery, read_page
from marketplace.identity.models import Organisation
from marketplace.identity.queries import organisations_by_id, people_by_id
from marketplace.identity.states import OrganisationState
from marketplace.vetting.errors import FileUnknown, PaperUnknown
from marketplace.vetting.models import Decision, Paper, VendorProfile, VettingFile, WorkerProfile
from marketplace.vetting.schemas import WorkerStanding
from marketplace.vetting.states import FINAL_STATES, SubjectKind, VettingState

_STANDINGS = (
    text(
        """
        SELECT p.id AS person_id, w.languages, w.country, w.region, w.skills,
               p.disabled_at IS NULL AND w.person_id IS NOT NULL AND EXISTS (
                   SELECT 1 FROM vetting_file f
                   WHERE f.subject_id = p.id AND f.state = 'approved' AND f.expires_at > :at
               ) AS approved,
               ARRAY(
                   SELECT m.organisation_id FROM membership m JOIN organisation o ON o.id = m.organisation_id
                   WHERE m.person_id = p.id AND m.role = 'worker' AND m.state = 'active' AND o.state = 'active'
               ) AS vendor_ids
        FROM person p LEFT JOIN worker_profile w ON w.person_id = p.id
        WHERE p.id = ANY(:ids)
        """
    )
    .bindparams(bindparam("ids", type_=ARRAY(Uuid())))
    .columns(
        person_id=Uuid(), languages=JSONB(), country=String(), region=String(), skills=JSONB(), approved=Boolean(),
        vendor_ids=ARRAY(Uuid()),
    )
)  # fmt: skip


async def worker_standings(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, WorkerStanding]:
    """Return by one query what decides which work these people may see; unknown people are left out."""
    connection = await session.connection()
    found = await connection.execute(_STANDINGS, {"ids": list(ids), "at": now()})
    return {
        row.person_id: WorkerStanding(
            person_id=row.person_id,
            approved=row.approved,
            languages=frozenset(row.languages or ()),
            country=row.country,
            region=row.region,
            vendor_ids=frozenset(row.vendor_ids),
            skills=row.skills or {},
        )
        for row in found
    }


async def worker_standing(session: AsyncSession, person_id: UUID) -> WorkerStanding:
    """Return by one query what decides which work a person may see; an unknown person may see none."""
    standings = await worker_standings(session, [person_id])
    unknown = WorkerStanding(person_id, approved=False, languages=frozenset(), country=None, region=None,
                             vendor_ids=frozenset(), skills={})  # fmt: skip
    return standings.get(person_id, unknown)


def _approved_vendors() -> SelectOfScalar[VendorProfile]:
    return (
        select(VendorProfile)
        .join(Organisation, col(Organisation.id) == col(VendorProfile.organisation_id))
        .join(VettingFile, col(VettingFile.subject_id) == col(VendorProfile.organisation_id))
        .where(
            VettingFile.state == VettingState.APPROVED,
            col(VettingFile.expires_at) > now(),
            Organisation.state == OrganisationState.ACTIVE,
        )
    )


async def approved_vendor(session: AsyncSession, organisation_id: UUID) -> VendorProfile | None:
    """Return the profile of a vendor that is approved now and may act; None for any other."""
    found = await session.exec(_approved_vendors().where(VendorProfile.organisation_id == organisation_id))
    return found.first()


async def approved_vendors(session: AsyncSession, ids: Collection[UUID] | None = None) -> dict[UUID, VendorProfile]:
    """Return the profiles of all vendors approved now, or of those among `ids`."""
    statement = _approved_vendors()
    if ids is not None:
        statement = statement.where(col(VendorProfile.organisation_id).in_(list(ids)))
    found = await session.exec(statement)
    return {profile.organisation_id: profile for profile in found.all()}


async def open_file(session: AsyncSession, subject_id: UUID, *, lock: bool = False) -> VettingFile | None:
    """Return the subject's file that is not final, if there is one."""
    statement = select(VettingFile).where(
        VettingFile.subject_id == subject_id, col(VettingFile.state).not_in(list(FINAL_STATES))
    )
    found = await session.exec(statement.with_for_update() if lock else statement)
    return found.first()


def _may_see(actor: Actor, file: VettingFile) -> bool:
    vets = actor.is_operator and Scope.VETTING in actor.scopes
    return vets or file.subject_id == (actor.organisation_id or actor.id)


async def visible_file(session: AsyncSession, actor: Actor, file_id: UUID, *, lock: bool = False) -> VettingFile:
    """Return a file of the actor's own subject, or any to who vets; else raise `FileUnknown`."""
    statement = select(VettingFile).where(VettingFile.id == file_id)
    found = await session.exec(statement.with_for_update() if lock else statement)
    file = found.first()
    if file is None or not _may_see(actor, file):
        raise FileUnknown
    return file


async def files_of(session: AsyncSession, subject_id: UUID, query: PageQuery) -> tuple[list[VettingFile], str | None]:
    """Return a page of a subject's files, newest first."""
    statement = select(VettingFile).where(VettingFile.subject_id == subject_id)
    return await read_page(session, statement, VettingFile.id, query)


async def queue(
    session: AsyncSession, query: PageQuery, *, state: VettingState, subject: SubjectKind | None = None
) -> tuple[list[VettingFile], str | None]:
    """Return a page of all files in a state, newest first."""
    statement = select(VettingFile).where(VettingFile.state == state)
    if subject is not None:
        statement = statement.where(VettingFile.subject == subject)
    return await read_page(session, statement, VettingFile.id, query)


async def names_of(session: AsyncSession, files: Iterable[VettingFile]) -> dict[UUID, str]:
    """Return the names of the subjects of these files."""
    files = list(files)
    vendors = await organisations_by_id(session, {f.subject_id for f in files if f.subject is SubjectKind.VENDOR})
    people = await people_by_id(session, {f.subject_id for f in files if f.subject is SubjectKind.WORKER})
    return {id_: vendor.name for id_, vendor in vendors.items()} | {
        id_: person.display_name for id_, person in people.items()
    }


async def papers_of(session: AsyncSession, file: VettingFile) -> list[Paper]:
    """Return the papers of a file, oldest first."""
    found = await session.exec(
        select(Paper).where(Paper.subject_id == file.subject_id, Paper.file_id == file.id).order_by(col(Paper.id))
    )
    return list(found.all())


async def count_papers(session: AsyncSession, file: VettingFile) -> int:
    """Return how many papers a file holds."""
    found = await session.exec(
        select(func.count())
        .select_from(Paper)
        .where(col(Paper.subject_id) == file.subject_id, col(Paper.file_id) == file.id)
    )
    return found.one()


async def get_paper(session: AsyncSession, file: VettingFile, paper_id: UUID) -> Paper:
    """Return a paper of the file, or raise `PaperUnknown`."""
    paper = await session.get(Paper, (file.subject_id, paper_id))
    if paper is None or paper.file_id != file.id:
        raise PaperUnknown
    return paper


async def decisions_of(session: AsyncSession, file: VettingFile) -> list[Decision]:
    """Return the steps of a file, oldest first."""
    found = await session.exec(
        select(Decision)
        .where(Decision.subject_id == file.subject_id, Decision.file_id == file.id)
        .order_by(col(Decision.id))
    )
    return list(found.all())


async def worker_profile(session: AsyncSession, person_id: UUID) -> WorkerProfile | None:
    """Return a worker's profile, if they have filled it in."""
    return await session.get(WorkerProfile, person_id)


async def vendor_profile(session: AsyncSession, organisation_id: UUID) -> VendorProfile | None:
    """Return a vendor's profile, if it has been filled in."""
    return await session.get(VendorProfile, organisation_id)
