from pathlib import Path

import httpx
import pytest

from cli.demo_market import ENTERPRISES, WORKERS, sign_in_of
from cli.scenario.staff import ADMIN_SIGN_IN, DEMO_PASSWORD

SMALL = 60


@pytest.fixture(scope="module")
def figures(kapok):
    return kapok.json("demo", "--tasks", str(SMALL), "--seed", "11")


def signed_in(kapok, sign_in):
    body = {"identifier": sign_in, "password": DEMO_PASSWORD}
    answer = httpx.post(f"{kapok.running.base_url}/v1/auth/sign-in", json=body, trust_env=False)
    assert answer.is_success, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_demo_accounts_sign_in_when_the_market_is_loaded(kapok):
    base = kapok.running.base_url
    for sign_in in (ADMIN_SIGN_IN, sign_in_of("worker", len(WORKERS))):
        assert httpx.get(f"{base}/v1/me", headers=signed_in(kapok, sign_in), trust_env=False).is_success
    vendor = signed_in(kapok, sign_in_of("vendor", 1))
    open_requests = httpx.get(f"{base}/v1/open-requests", headers=vendor, trust_env=False).json()["items"]
    market = [one for one in open_requests if one["title"] in {title for _, _, title, *_ in ENTERPRISES}]
    assert len(market) == len(ENTERPRISES)
    assert all(one["fit"]["may_bid"] for one in market)


def test_demo_goes_from_posting_to_paid(figures):
    assert figures["problems"] == []
    assert figures["request_state"] == "closed"
    assert figures["tasks"] == figures["consensus_tasks"] == SMALL
    assert figures["accuracy"] >= 0.95
    assert figures["accepted_bundles"] == figures["paid_bundles"] > 0
    assert figures["double_paid"] == 0
    assert figures["ledger_sum_zero"] is True
    assert figures["answers"] >= 3 * SMALL


def test_demo_returns_what_was_not_spent_when_the_request_closes(figures):
    spent = figures["workers_minor"] + figures["vendors_minor"] + figures["platform_fee_minor"]
    assert figures["funded_minor"] == spent + figures["refund_minor"]
    assert figures["refund_minor"] == figures["refunded_to_source_minor"] > 0
    assert figures["kept_for_appeals_minor"] == 0
    assert figures["appeals_upheld"] + figures["appeals_overturned"] >= figures["rejected_bundles"]


def test_every_figure_of_the_report_is_reproduced_when_the_demo_is_over(figures):
    report = figures["report"]
    assert report["figures_reproduced"] == report["figures"] > 100
    assert report["estimate"]["source"] in {"gold_labels", "confidence"}
    for page in map(Path, report["pages"]):
        assert page.read_bytes().startswith(b"%PDF-" if page.suffix == ".pdf" else b"<!doctype html>")


def test_demo_exports_open_when_delivered(figures):
    assert [one["format"] for one in figures["exports"]] == ["jsonl", "csv", "parquet"]
    assert all(one["opens"] and one["rows"] == SMALL and one["bytes"] > 0 for one in figures["exports"])


def test_workers_are_paid_for_accepted_bundles_only_when_they_click_at_random(figures):
    assert all(row["paid_bundles"] == row["accepted"] for row in figures["workers"])
    assert all((row["paid_out_minor"] > 0) == (row["accepted"] > 0) for row in figures["workers"])
    bots = [row for row in figures["workers"] if row["kind"] == "bot"]
    assert all(row["reworked"] > 0 or row["submitted"] == 0 for row in bots)


def test_no_job_is_dead_when_the_demo_is_over(kapok, figures):
    code, said = kapok.run("jobs", "list", "--json")
    assert (code, said.strip()) == (0, "[]")


def test_ledger_verifies_when_the_demo_is_over(kapok, figures):
    code, _ = kapok.run("ledger", "verify")
    assert code == 0


def test_caught_cheats_and_false_alarms_are_told_when_they_were_injected(figures):
    found = figures["integrity"]
    assert [found[kind]["injected"] for kind in ("spammers", "copiers", "bots")] == [2, 2, 2]
    assert all(found[kind]["caught"] <= found[kind]["injected"] for kind in ("spammers", "copiers", "bots"))
    # bots click on whatever is asked, many times over, also in a small request
    assert found["bots"]["caught"] >= 1
    assert found["honest"]["workers"] == 16
    # at the stated rate of one in a hundred a worker, two of sixteen are seen once in ninety runs
    assert found["honest"]["false_alarms"] <= 1
    assert found["stated_false_alarm_rate"] == 0.01
