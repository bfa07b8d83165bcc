"""Retention: what is due by the operator's table, what is erased, and what never is."""

import json
from datetime import timedelta

import obstore
import pytest
from pydantic import ValidationError
from sqlmodel import select
from typer.testing import CliRunner

from cli.main import app as kapok
from cli.retention import _run
from marketplace.audit.models import AuditEntry
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.settings import get_settings
from marketplace.core.storage import open_store
from marketplace.identity.models import Person
from marketplace.ledger import verify
from marketplace.payments.control_models import PayoutMethod
from marketplace.payments.models import Payee
from marketplace.payments.tax_models import TaxForm
from marketplace.settlement.retention_rules import RecordClass, RetentionTable
from marketplace.vetting.models import Paper, VettingFile
from marketplace.vetting.states import PaperKind
from tests.factories.identity import make_approved_worker
from tests.factories.money import ask_payout, committed, earn, row_of

YEARS = 5


def _table(*classes: RecordClass, years: int = YEARS) -> RetentionTable:
    rules = [{"record_class": name, "years": years, "source": "a test's"} for name in classes or RecordClass]
    return RetentionTable.model_validate({"name": "a test's", "classes": rules})


@pytest.fixture
def store(settings):
    return open_store(settings)


async def _person(database, store, *, closed_years: float | None) -> dict[str, object]:
    """A worker with a vetting paper, a tax form and a name at the provider; closed so many years ago, or not."""
    async with committed(database) as session:
        worker = (await make_approved_worker(session)).person
        file = (await session.exec(select(VettingFile).where(VettingFile.subject_id == worker.id))).one()
        common = {"filename": "id.pdf", "media_type": "application/pdf", "size_bytes": 4, "sha256": "0" * 64}
        paper = Paper(
            subject_id=worker.id, file_id=file.id, kind=next(iter(PaperKind)), uploaded_by=worker.id,
            object_key=f"vetting/{worker.id}/1", **common,
        )  # fmt: skip
        form = TaxForm(
            kind="worker", owner_id=worker.id, form_type="w9", valid_from=now().date(), uploaded_by=worker.id,
            object_key=f"tax-forms/{worker.id}/1", **common,
        )  # fmt: skip
        payee = Payee(kind="worker", owner_id=worker.id, provider="sandbox", display_name="韦小木")
        method = PayoutMethod(
            kind="worker", owner_id=worker.id, provider="bank_file", currency="CNY", holder_name="韦小木",
            bank_code="ICBKCNBJ", account_sealed=b"sealed", account_last4="0001", usable_from=now(),
        )  # fmt: skip
        session.add_all([paper, form, payee, method])
        if closed_years is not None:
            (await session.get_one(Person, worker.id)).disabled_at = now() - timedelta(days=365.25 * closed_years)
    for key in (paper.object_key, form.object_key):
        await obstore.put_async(store, key, b"%PDF")
    return {"person": worker.id, "paper": (worker.id, paper.id), "form": form.id, "payee": payee.id,
            "keys": [paper.object_key, form.object_key]}  # fmt: skip


async def _erase(settings, table) -> dict[RecordClass, tuple[int, int]]:
    found = await _run(settings, table, erase=True)
    return {holding.record_class: (holding.held, holding.due) for holding in found}


async def _stored(store, keys) -> list[str]:
    there = [entry["path"] async for batch in obstore.list(store) for entry in batch]
    return [key for key in keys if key in there]


async def test_records_of_a_closed_account_are_erased_when_their_years_have_passed(settings, database, store):
    old = await _person(database, store, closed_years=YEARS + 1)
    recent = await _person(database, store, closed_years=YEARS - 1)
    active = await _person(database, store, closed_years=None)
    assert set((await _erase(settings, _table())).values()) == {(3, 1)}
    paper, form = await row_of(database, Paper, old["paper"]), await row_of(database, TaxForm, old["form"])
    assert (paper.object_key, paper.filename, form.object_key, form.filename) == ("", "", "", "")
    assert paper.sha256 == form.sha256 == "0" * 64
    assert (await row_of(database, Payee, old["payee"])).display_name == ""
    assert await _stored(store, old["keys"]) == []
    for kept in (recent, active):
        assert await _stored(store, kept["keys"]) == kept["keys"]
        assert (await row_of(database, Payee, kept["payee"])).display_name == "韦小木"
    assert set((await _erase(settings, _table())).values()) == {(2, 0)}
    async with database.sessions() as session:
        told = (await session.exec(select(AuditEntry).where(AuditEntry.action == "retention.erased"))).all()
        assert len(told) == 4
        assert (await verify.verify(session)).holds
        methods = (await session.exec(select(PayoutMethod))).all()
        assert {method.owner_id for method in methods if method.holder_name and method.account_sealed} == {
            recent["person"],
            active["person"],
        }


async def test_only_ruled_classes_are_erased_when_the_table_is_silent_about_others(settings, database, store):
    old = await _person(database, store, closed_years=YEARS + 1)
    await _erase(settings, _table(RecordClass.TAX_FORMS))
    assert await _stored(store, old["keys"]) == old["keys"][:1]
    assert (await row_of(database, Payee, old["payee"])).display_name == "韦小木"


async def test_nothing_is_due_when_money_is_owed_or_on_its_way(settings, database, store, gateway):
    owed = await _person(database, store, closed_years=YEARS + 1)
    moving = await _person(database, store, closed_years=YEARS + 1)
    await earn(database, owed["person"], 500)
    await earn(database, moving["person"], 500)
    await ask_payout(database, gateway, moving["person"])
    assert set((await _erase(settings, _table())).values()) == {(2, 0)}
    assert await _stored(store, owed["keys"] + moving["keys"]) == owed["keys"] + moving["keys"]


def test_command_refuses_when_there_is_no_table(monkeypatch):
    monkeypatch.delenv("RETENTION_TABLE_FILE", raising=False)
    get_settings.cache_clear()
    result = CliRunner().invoke(kapok, ["retention", "--erase"])
    get_settings.cache_clear()
    assert result.exit_code == 1
    assert "RETENTION_TABLE_FILE" in result.output


def test_table_is_refused_when_a_class_stands_twice_or_has_no_source():
    rule = {"record_class": "tax_forms", "years": 1, "source": "a test's"}
    for classes in ([rule, rule], [{**rule, "source": ""}], []):
        with pytest.raises(ValidationError):
            RetentionTable.model_validate_json(json.dumps({"name": str(new_id()), "classes": classes}))
