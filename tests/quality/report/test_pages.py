"""The report as a page and as a PDF: complete in both languages, harmless, and handed out to its owner only."""

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from marketplace.core.papers.language import Language
from marketplace.quality.delivery_report import page, sheet
from marketplace.quality.delivery_report.compute import compute_report
from marketplace.quality.delivery_report.document import Document
from marketplace.quality.delivery_report.evidence import Review, Sampling
from marketplace.quality.delivery_report.sections import whole_document
from marketplace.quality.delivery_report.words import WORDS
from marketplace.quality.schemas import QualityReport
from tests.factories.identity import Party, bearer, make_enterprise
from tests.quality.report.delivered import make_delivered
from tests.quality.report.test_compute import item, small
from workers.handlers import WorkerResources

HOSTILE = "</style><script>alert('1')</script>\" onload=x 木棉"


def document(language: Language, **changes: Any) -> Document:
    report = compute_report(small()).model_copy(update=changes)
    return whole_document(report, HOSTILE, language)


def hostile_report() -> QualityReport:
    report = compute_report(small()).model_dump(mode="json")
    for label in report["classes"]:
        label["label"] = HOSTILE
    for figures in report["class_figures"]:
        figures["label"] = HOSTILE
    report["confusion"]["labels"] = [HOSTILE, "\x00\x1b<b>"]
    return QualityReport.model_validate(report)


def test_catalogues_have_the_same_keys_and_figures_when_compared() -> None:
    english, chinese = WORDS[Language.EN], WORDS[Language.ZH]
    assert english.keys() == chinese.keys()
    places = re.compile(r"{(\w+)}")
    for key, words in english.items():
        assert sorted(places.findall(words)) == sorted(places.findall(chinese[key])), key


@pytest.mark.parametrize("language", list(Language))
def test_page_escapes_titles_and_labels_when_they_are_hostile(language: Language) -> None:
    text = page.draw_page(whole_document(hostile_report(), HOSTILE, language)).decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<b>" not in text.replace("<li><b>", "")
    assert text.count("<style>") == text.count("</style>") == 1


@pytest.mark.parametrize("language", list(Language))
def test_page_needs_nothing_that_its_policy_forbids(language: Language) -> None:
    text = page.draw_page(document(language)).decode()
    assert "style=" not in text
    assert not re.search(r"(src|href)=\"(?!#)", text)
    assert f'lang="{"en" if language is Language.EN else "zh-CN"}"' in text
    assert text.count("<svg") == text.count('role="img"') == text.count("<figure>") > 4
    assert page.POLICY.startswith("default-src 'none'; style-src 'sha256-")


def test_page_says_not_measured_when_there_is_no_gold() -> None:
    text = page.draw_page(document(Language.EN, reliability=None)).decode()
    assert "Not measured" in text


def test_page_is_drawn_when_the_report_is_of_an_earlier_version() -> None:
    report = compute_report(small())
    old = report.model_dump(include=QualityReport.model_fields.keys() - _LATER)
    text = page.draw_page(whole_document(QualityReport.model_validate(old), "t", Language.EN)).decode()
    assert "Not known yet" in text


_LATER = {
    "accuracy", "reliability", "class_figures", "confusion", "worker_distribution", "label_use", "gates", "sample",
    "appeals", "method", "refit",
}  # fmt: skip


@pytest.mark.parametrize("language", list(Language))
def test_pdf_is_whole_and_the_same_bytes_when_drawn_twice(language: Language) -> None:
    drawn = sheet.draw_pdf(whole_document(hostile_report(), HOSTILE, language))
    assert drawn.startswith(b"%PDF-")
    assert drawn.rstrip().endswith(b"%%EOF")
    assert drawn.count(b"/Type /Page\n") >= 3
    assert drawn == sheet.draw_pdf(whole_document(hostile_report(), HOSTILE, language))


def test_reviewed_sample_is_told_when_there_is_one() -> None:
    evidence = small(reviews=[Review(item(1), True), Review(item(2), False)])
    object.__setattr__(evidence, "sampling", Sampling({"kind": "sprt"}, "rejected"))
    report = compute_report(evidence)
    assert report.sample is not None
    assert (report.sample.reviewed, report.sample.wrong, report.sample.result) == (2, 1, "rejected")
    assert "found 1 wrong" in page.draw_page(whole_document(report, "t", Language.EN)).decode()


async def test_report_is_a_page_and_a_pdf_for_its_owner_only(
    client: httpx.AsyncClient, app: FastAPI, worker_resources: WorkerResources
) -> None:
    async with worker_resources.database.sessions() as session:
        enterprise, stranger = await make_enterprise(session), await make_enterprise(session)
        await session.commit()
    assert enterprise.organisation is not None
    work = await make_delivered(worker_resources, enterprise.organisation.id, title=HOSTILE)

    async def get(party: Party, ending: str, **headers: str) -> httpx.Response:
        path = f"/v1/requests/{work.request.id}/delivery/report.{ending}"
        return await client.get(path, headers={**bearer(app, party), **headers})

    shown = await get(enterprise, "html", **{"Accept-Language": "zh-CN,en;q=0.5"})
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert shown.headers["content-security-policy"] == page.POLICY
    assert "质量报告" in shown.text
    assert "<script" not in shown.text
    assert "Quality report" in (await get(enterprise, "html")).text
    pdf = await get(enterprise, "pdf", **{"Accept-Language": "zh"})
    assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert "attachment" in pdf.headers["content-disposition"]
    for ending in ("html", "pdf"):
        assert (await get(stranger, ending)).status_code == 404
