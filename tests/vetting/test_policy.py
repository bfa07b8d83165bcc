"""The steps of a vetting file, papers by content, names of files, language tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.actor import SYSTEM, OrganisationKind, Role
from marketplace.core.errors import TransitionRefused
from marketplace.core.ids import new_id
from marketplace.core.states import check_step
from marketplace.identity.models import Organisation, Person
from marketplace.vetting import policy
from marketplace.vetting.errors import (
    LanguageTagInvalid,
    PaperNameInvalid,
    PapersClosed,
    PaperTypeRefused,
    ReasonMissing,
    SubjectNotVetted,
    TooManyPapers,
)
from marketplace.vetting.states import FINAL_STATES, VETTING_STEPS, SubjectKind, VettingState
from tests.factories.identity import actor_for

PERSON = Person(id=new_id(), email="a@kapok.example", display_name="A", locale="vi", password_hash="")
EVERY_STEP = [(before, after) for before in VettingState for after in VettingState]


@pytest.mark.parametrize(("before", "after"), EVERY_STEP)
def test_a_step_is_possible_only_when_the_table_holds_it(before: VettingState, after: VettingState) -> None:
    if after in VETTING_STEPS[before]:
        check_step(VETTING_STEPS, before, after)
    else:
        with pytest.raises(TransitionRefused) as refused:
            check_step(VETTING_STEPS, before, after)
        assert refused.value.extra["possible"] == sorted(VETTING_STEPS[before])


def test_every_state_is_in_the_table_and_only_refused_and_expired_are_final() -> None:
    assert set(VETTING_STEPS) == set(VettingState)
    assert {VettingState.REFUSED, VettingState.EXPIRED} == FINAL_STATES


def test_approval_follows_a_review_by_a_person_only() -> None:
    assert {before for before, after in VETTING_STEPS.items() if VettingState.APPROVED in after} == {
        VettingState.IN_REVIEW
    }


@pytest.mark.parametrize("verdict", list(VettingState))
def test_a_reason_is_needed_when_the_verdict_is_against_the_applicant(verdict: VettingState) -> None:
    policy.check_reason(verdict, "The licence has expired.")
    if verdict in {VettingState.REFUSED, VettingState.NEEDS_PAPERS, VettingState.SUSPENDED}:
        with pytest.raises(ReasonMissing):
            policy.check_reason(verdict, " \n")
    else:
        policy.check_reason(verdict, "")


@pytest.mark.parametrize("state", list(VettingState))
def test_papers_are_taken_only_when_nobody_is_looking_at_them(state: VettingState) -> None:
    if state in {VettingState.APPLIED, VettingState.NEEDS_PAPERS}:
        policy.check_papers_open(state, 0)
        with pytest.raises(TooManyPapers):
            policy.check_papers_open(state, policy.MAX_PAPERS)
    else:
        with pytest.raises(PapersClosed):
            policy.check_papers_open(state, 0)


def test_the_subject_is_who_the_actor_acts_for() -> None:
    vendor = Organisation(id=new_id(), kind=OrganisationKind.VENDOR, name="V", country="CN")
    enterprise = Organisation(id=new_id(), kind=OrganisationKind.ENTERPRISE, name="E", country="CN")
    assert policy.subject_of(actor_for(PERSON)) == (SubjectKind.WORKER, PERSON.id)
    assert policy.subject_of(actor_for(PERSON, vendor, Role.OWNER)) == (SubjectKind.VENDOR, vendor.id)
    for actor in (actor_for(PERSON, enterprise, Role.OWNER), SYSTEM):
        with pytest.raises(SubjectNotVetted):
            policy.subject_of(actor)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
    ],
)
def test_a_paper_has_the_type_of_its_first_bytes(head: bytes, media_type: str) -> None:
    assert policy.media_type_of(head) == media_type


@pytest.mark.parametrize(
    "head",
    [b"", b"%PD", b" %PDF-1.7", b"GIF89a", b"PK\x03\x04", b"<svg>", b"<html>", b"MZ\x90", b"\x89PNG\n", b"#!/bin/sh"],
)
def test_a_paper_is_refused_when_its_first_bytes_are_of_another_type(head: bytes) -> None:
    with pytest.raises(PaperTypeRefused):
        policy.media_type_of(head)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("营业执照.pdf", "营业执照.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system32\\cmd.exe", "cmd.exe"),
        ("/etc/shadow", "shadow"),
        ("C:\\papers\\licence.pdf", "licence.pdf"),
        ("a\x00b\r\n.pdf", "ab.pdf"),
        ("licence\u202efdp.exe", "licencefdp.exe"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
    ],
)
def test_a_filename_keeps_only_its_last_part_when_it_leads_elsewhere(name: str, shown: str) -> None:
    assert policy.plain_filename(name) == shown


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "/", "\\", "\x00", " . ", "a/.."])
def test_a_filename_is_refused_when_nothing_is_left_of_it(name: str) -> None:
    with pytest.raises(PaperNameInvalid):
        policy.plain_filename(name)


@given(st.text(max_size=400))
def test_a_filename_never_leads_out_of_a_folder(name: str) -> None:
    try:
        shown = policy.plain_filename(name)
    except PaperNameInvalid:
        return
    assert 0 < len(shown) <= policy.MAX_FILENAME
    assert not set(shown) & set("/\\\0\r\n")
    assert shown.strip(".")


@pytest.mark.parametrize(
    ("tag", "normal"),
    [
        ("ZH", "zh"),
        (" zh-hant-hk ", "zh-Hant-HK"),
        ("za", "za"),
        ("yue-CN", "yue-CN"),
        ("sl-Rozaj", "sl-rozaj"),
        ("es-419", "es-419"),
    ],
)
def test_a_language_tag_is_stored_in_its_usual_casing(tag: str, normal: str) -> None:
    assert policy.normalise_tag(tag) == normal


@pytest.mark.parametrize(
    "tag", ["", "z", "chinese", "zh_CN", "zh-", "zh--CN", "x-private", "中文", "zh-CN-u-co-pinyin"]
)
def test_a_language_tag_is_refused_when_it_names_no_language(tag: str) -> None:
    with pytest.raises(LanguageTagInvalid):
        policy.normalise_tag(tag)
