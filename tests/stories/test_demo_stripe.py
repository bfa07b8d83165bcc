"""The demo with Stripe as the provider: the same way of a request, over a fake of Stripe that runs on its own."""

import json
import subprocess
import sys

import pytest

from tests.stories.conftest import ROOT, kapok_environment

SMALL = 30


def _run(*arguments: str, seconds: float = 300.0, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=kapok_environment(**environment), timeout=seconds, check=False,
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def figures():
    demo = [sys.executable, "-m", "cli", "demo", "--tasks", str(SMALL), "--seed", "11", "--json"]
    done = _run("-m", "tests.fakestripe", "--duplicate", "--reorder", "--run", *demo)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout)


def test_demo_goes_from_posting_to_paid_when_stripe_is_the_provider(figures):
    assert figures["problems"] == []
    assert figures["request_state"] == "closed"
    assert figures["accepted_bundles"] == figures["paid_bundles"] > 0
    assert figures["double_paid"] == 0


def test_a_returned_payout_is_paid_again_when_stripe_is_the_provider(figures):
    assert figures["payouts_returned"] == figures["returned_and_repaid"] == 1
    assert figures["payouts_paid"] > figures["payouts_returned"]


def test_refund_and_ledger_are_right_when_stripe_is_the_provider(figures):
    assert figures["refund_minor"] == figures["refunded_to_source_minor"] > 0
    assert figures["refunds"] == 1
    assert (figures["ledger_sum_zero"], figures["ledger_breaks"]) == (True, 0)
    assert figures["ledger_checks"] > 0


def test_demo_says_what_it_needs_when_stripe_has_no_key():
    done = _run("-m", "cli", "demo", KAPOK_PAYMENTS="stripe", STRIPE_API_KEY="")
    assert done.returncode == 1
    assert "STRIPE_API_KEY" in done.stderr
    assert "make demo-stripe" in done.stderr
