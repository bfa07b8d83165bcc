"""The walk-through of docs/ is run as it stands, by bash and curl, against a real Kapok with real workers."""

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from typer.testing import CliRunner

from cli.main import app as kapok
from cli.scenario.own_kapok import Target, own_kapok
from cli.scenario.staff import ADMIN_SIGN_IN, DEMO_PASSWORD, ensure_operator
from marketplace.core.db import open_database, plain_url
from marketplace.ledger.verify import verify

PAGE = Path(__file__).parents[2] / "docs" / "walkthrough.md"
# long enough for what a loaded machine needs from the draft to the bid
BIDDING_SECONDS = 30
LIMIT_SECONDS = 300
TELL = 'printf "%s %s %s\\n" "$REQUEST" "$ENTERPRISE" "$PAYOUT" > walked'


def script_of(page: str) -> str:
    """Return the page's bash blocks, in order, as one script that stops at the first failure."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return "\n".join(["set -euo pipefail", *blocks, TELL])


async def _appoint_operator(target: Target) -> None:
    async with open_database(target.settings) as database:
        await ensure_operator(database)


def _walk(target: Target, folder: Path) -> "subprocess.CompletedProcess[str]":
    given = {
        "KAPOK": target.base_url,
        "BIDDING_SECONDS": str(BIDDING_SECONDS),
        "OPERATOR_ADDRESS": ADMIN_SIGN_IN,
        "OPERATOR_PASSWORD": DEMO_PASSWORD,
    }
    return subprocess.run(
        ["bash", "-c", script_of(PAGE.read_text())],
        cwd=folder,
        env={**os.environ, **given, "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


async def _facts(target: Target, request_id: UUID, payout_id: UUID, enterprise_id: UUID) -> tuple[object, ...]:
    connection = await asyncpg.connect(plain_url(target.settings.database_url))
    try:
        state = await connection.fetchval("SELECT state FROM dataset_request WHERE id = $1", request_id)
        payout = await connection.fetchrow("SELECT state, amount_minor FROM payout WHERE id = $1", payout_id)
        left = await connection.fetchval(
            "SELECT balance_minor FROM account WHERE path = $1", f"org_cash:{enterprise_id}"
        )
    finally:
        await connection.close()
    async with open_database(target.settings) as database, database.sessions() as session:
        report = await verify(session)
    return state, tuple(payout), left, report.holds


@pytest.mark.skipif(shutil.which("curl") is None, reason="the walk-through is written for curl, which is not here")
def test_walkthrough_ends_closed_and_paid_when_its_blocks_are_run_in_order(tmp_path: Path) -> None:
    with own_kapok({"LOG_LEVEL": "WARNING"}) as target:
        asyncio.run(_appoint_operator(target))
        done = _walk(target, tmp_path)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        request_id, enterprise_id, payout_id = map(UUID, (tmp_path / "walked").read_text().split())
        whole, torn = tmp_path / "proof.json", tmp_path / "torn.json"
        torn.write_bytes(whole.read_bytes().replace(b"216", b"217", 1))
        told = [
            CliRunner().invoke(kapok, ["proof", "verify", str(file), "--key", str(tmp_path / "keys.json")])
            for file in (whole, torn)
        ]
        state, payout, left, ledger_holds = asyncio.run(_facts(target, request_id, payout_id, enterprise_id))
    assert [ran.exit_code for ran in told] == [0, 1], told[0].output
    assert state == "closed"
    assert payout == ("paid", 216)
    assert left == 9400
    assert ledger_holds
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 6
