import json
import subprocess
import sys

from tests.stories.conftest import ROOT, kapok_environment


def test_bench_counts_no_double_assignment_and_no_lost_answer(tmp_path):
    options = ("--tasks", "400", "--workers", "4", "--bundle", "10", "--seconds", "5", "--sizes", "100,400", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "cli", "bench", "claims", *options],
        cwd=ROOT, env=kapok_environment(TMPDIR=str(tmp_path)), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)
    assert figures["double_assignments"] == 0
    assert figures["lost_answers"] == 0
    assert 0 < figures["answers"] <= 400
    assert figures["tasks_per_s"] > 0
    assert figures["ratio_to_sql"] > 0
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert set(figures["claim_p50_ms_by_tasks"]) == {"100", "400"}
    assert list(tmp_path.iterdir()) == []
