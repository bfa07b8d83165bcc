"""What law asks of the operator: missing, set, or not usable; and said so by the doctor."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from api.app import create_app
from cli.doctor import Patient, examine
from marketplace.core.clock import now
from marketplace.core.settings import Settings
from marketplace.payments import withholding
from marketplace.payments.errors import TaxTableMissing
from marketplace.settlement.errors import MinimumTableInvalid
from marketplace.settlement.law import law_facts

TODAY = now().date()
SHIPPED = Path(withholding.__file__).parent / "tax_tables"


def _settings(**given) -> Settings:
    return Settings(_env_file=None, **given)


def _states(settings: Settings) -> dict[str, str]:
    return {fact.name: fact.state for fact in law_facts(settings, TODAY)}


def _file(folder, content) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(content))
    return path


def _minimum(first: date, **changes) -> dict:
    row = {
        "region": "CN-GX", "per_hour_minor": 1, "currency": "CNY", "source": "https://example.test/",
        "valid_from": f"{first}", "action": "warn",
    }  # fmt: skip
    return {"name": "a test's", "idle_factor": 2, "rows": [{**row, **changes}]}


def test_everything_is_missing_when_nothing_is_set():
    assert set(_states(_settings()).values()) == {"missing"}


def test_everything_is_set_when_the_operator_has_chosen(tmp_path):
    classes = ("identity_papers", "payee_names", "payout_methods", "tax_forms")
    retention = {"name": "r", "classes": [{"record_class": c, "years": 1, "source": "a law"} for c in classes]}
    chosen = _settings(
        tax_mode="vendor_is_employer", tax_forms_required={"US": ["w9"]}, payee_countries="CN,US",
        min_pay_table_file=_file(tmp_path, _minimum(TODAY)), retention_table_file=_file(tmp_path, retention),
    )  # fmt: skip
    assert set(_states(chosen).values()) == {"set"}


def test_tax_table_is_not_taken_for_set_when_nobody_has_verified_it():
    table = SHIPPED / "cn_per_payment_61_2018.json"
    fact = law_facts(_settings(tax_mode="per_payment", tax_table_file=table), TODAY)[0]
    assert (fact.state, "nobody has compared it" in fact.detail) == ("missing", True)


@pytest.mark.parametrize("when", ["before", "after"])
def test_tax_table_is_invalid_when_it_is_not_in_force(tmp_path, when):
    content = json.loads((SHIPPED / "cn_per_payment_61_2018.json").read_text())
    past, future = TODAY - timedelta(days=9), TODAY + timedelta(days=9)
    content |= {"valid_from": f"{future}"} if when == "before" else {"valid_from": f"{past}", "valid_to": f"{past}"}
    settings = _settings(tax_mode="per_payment", tax_table_file=_file(tmp_path, content))
    assert _states(settings)["tax"] == "invalid"


def test_tables_are_invalid_when_their_files_are_broken(tmp_path):
    broken = _file(tmp_path, {"name": "half"})
    states = _states(
        _settings(tax_mode="per_payment", tax_table_file=broken, min_pay_table_file=broken, retention_table_file=broken)
    )
    assert [states[name] for name in ("tax", "minimum_pay", "retention")] == ["invalid"] * 3


def test_minimum_pay_is_invalid_when_no_row_is_in_force(tmp_path):
    path = _file(tmp_path, _minimum(TODAY + timedelta(days=1)))
    assert _states(_settings(min_pay_table_file=path))["minimum_pay"] == "invalid"


def test_retention_is_missing_when_a_class_has_no_rule(tmp_path):
    path = _file(tmp_path, {"name": "r", "classes": [{"record_class": "tax_forms", "years": 1, "source": "a law"}]})
    fact = next(fact for fact in law_facts(_settings(retention_table_file=path), TODAY) if fact.name == "retention")
    assert (fact.state, "identity_papers, payee_names, payout_methods" in fact.detail) == ("missing", True)


def test_doctor_names_what_is_missing_and_fails_only_on_what_is_broken(tmp_path):
    settings = _settings(min_pay_table_file=_file(tmp_path, {"name": "half"}))
    found = {finding.check: finding for finding in examine(Patient(settings, tmp_path, None))}
    assert (found["Retention"].state, found["Tax"].state) == ("missing", "missing")
    assert "RETENTION_TABLE_FILE" in found["Retention"].mend
    assert found["Minimum pay"].state == "problem"


@pytest.mark.parametrize(
    ("broken", "error"),
    [({"min_pay_table_file": "x"}, MinimumTableInvalid), ({"tax_table_file": "x"}, TaxTableMissing)],
)
def test_api_does_not_start_when_a_table_cannot_be_used(broken, error):
    with pytest.raises(error):
        create_app(_settings(tax_mode="per_payment" if "tax_table_file" in broken else "none", **broken))


def test_start_is_refused_when_a_form_is_required_that_nobody_can_hand_in():
    with pytest.raises(ValueError, match="w10"):
        _settings(tax_forms_required={"US": ["w10"]})
