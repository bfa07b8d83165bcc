"""Pure rules of vetting: what a paper is, when a reason is needed, how a language tag is written."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

from marketplace.core.actor import Actor, ActorKind, OrganisationKind
from marketplace.core.errors import FieldProblem
from marketplace.vetting.errors import (
    LanguageTagInvalid,
    PaperNameInvalid,
    PapersClosed,
    PaperTypeRefused,
    ReasonMissing,
    SubjectNotVetted,
    TooManyPapers,
)
from marketplace.vetting.states import SubjectKind, VettingState

APPROVAL_LIFETIME: Final = timedelta(days=365)
MAX_PAPER_BYTES: Final = 20 * 1024 * 1024
MAX_PAPERS: Final = 30
MAX_FILENAME: Final = 200
# GB/T 22240-2020 (classified protection of cybersecurity): levels 1 to 5; 0 means that none was proven
MAX_SECURITY_LEVEL: Final = 5

# the first bytes of the formats: ISO 32000-2 §7.5.2, W3C PNG §5.2, ISO/IEC 10918-1 (SOI and the next marker)
_MAGIC: Final[Mapping[bytes, str]] = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
}
HEAD_BYTES: Final = max(len(magic) for magic in _MAGIC)
_NEED_REASON: Final = frozenset({VettingState.REFUSED, VettingState.NEEDS_PAPERS, VettingState.SUSPENDED})
_PAPERS_OPEN: Final = frozenset({VettingState.APPLIED, VettingState.NEEDS_PAPERS})
# RFC 5646 §2.1: language, script, region and variants; extensions and private use name no language that one can speak
_LANGUAGE_TAG: Final = re.compile(
    r"(?P<language>[a-z]{2,3})(-(?P<script>[a-z]{4}))?(-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)",
    re.IGNORECASE,
)


def subject_of(actor: Actor) -> tuple[SubjectKind, UUID]:
    """Return who is vetted when this actor applies: the vendor acted for, or the person.

    Raises:
        SubjectNotVetted: an enterprise or the operator.
    """
    if actor.organisation_kind is OrganisationKind.VENDOR and actor.organisation_id is not None:
        return SubjectKind.VENDOR, actor.organisation_id
    if actor.kind is ActorKind.PERSON and actor.organisation_id is None:
        return SubjectKind.WORKER, actor.id
    raise SubjectNotVetted


def check_reason(verdict: VettingState, reason: str) -> None:
    """Refuse a verdict against the applicant that has no reason, with `ReasonMissing`."""
    if verdict in _NEED_REASON and not reason.strip():
        raise ReasonMissing(fields=[FieldProblem("reason", f"say why it is {verdict!s}")])


def check_papers_open(state: VettingState, count: int) -> None:
    """Refuse another paper while the file is not open to them, or is full."""
    if state not in _PAPERS_OPEN:
        raise PapersClosed(f"The file is {state!s}.")
    if count >= MAX_PAPERS:
        raise TooManyPapers(f"A file holds {MAX_PAPERS} papers at most.")


def media_type_of(head: bytes) -> str:
    """Return the media type that the first bytes prove, or raise `PaperTypeRefused`."""
    for magic, media_type in _MAGIC.items():
        if head.startswith(magic):
            return media_type
    raise PaperTypeRefused(fields=[FieldProblem("paper", "send a PDF, a PNG or a JPEG")])


def plain_filename(name: str) -> str:
    """Return the last part of a file's name, without what could lead out of a folder or garble a screen.

    The name is for people only: the object's key never holds any of it.

    Raises:
        PaperNameInvalid: nothing is left.
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    shown = "".join(sign for sign in last if unicodedata.category(sign)[0] != "C").strip(" .")
    if not shown:
        raise PaperNameInvalid(fields=[FieldProblem("paper", "give the file a name")])
    return shown[-MAX_FILENAME:]


def normalise_tag(tag: str) -> str:
    """Return a language tag in the casing of RFC 5646 §2.1.1 ("zh-Hant-HK"), or raise `LanguageTagInvalid`."""
    match = _LANGUAGE_TAG.fullmatch(tag.strip())
    if match is None:
        reason = f"{tag!r} is no BCP 47 tag such as zh, vi, za or zh-Hant-HK"
        raise LanguageTagInvalid(reason, fields=[FieldProblem("languages", reason)])
    script, region = match["script"], match["region"]
    parts = [match["language"].lower()]
    parts += [script.title()] if script else []
    parts += [region.upper()] if region else []
    return "-".join(parts) + match["variants"].lower()
