import json
import subprocess
import sys

from tests.stories.conftest import ROOT, kapok_environment


def test_bench_settles_each_accepted_bundle_once(tmp_path):
    options = ("--bundles", "60", "--workers", "4", "--at-once", "4", "--sizes", "1000,3000", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "cli", "bench", "settlement", *options],
        cwd=ROOT, env=kapok_environment(TMPDIR=str(tmp_path)), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert figures["ledger_sum_zero"] is True
    assert figures["double_accruals"] == 0
    assert figures["unpaid"] == 0
    assert figures["units_per_s"] > 0
    assert figures["ratio_to_sql"] > 0
    assert set(figures["cost_ms_by_postings"]) == {"1000", "3000"}
