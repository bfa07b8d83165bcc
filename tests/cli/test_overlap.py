import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.bench_overlap import problems_of
from cli.main import app
from cli.scenario.crowd_data import read_table, read_truth
from cli.scenario.overlap_simulation import evenly, simulate
from marketplace.quality.overlap import StoppingRule
from tests.cli.crowd_folders import make_set

NEVER_SURE = StoppingRule(confidence=1.1)


@pytest.fixture
def easy(tmp_path):
    """A set of many labels a task, most of them right."""
    folder = make_set(tmp_path / "easy", "choice", tasks=60, workers=14, a_task=12, accuracy=0.9)
    return read_table(folder / "labels.csv"), read_truth(folder / "truth.csv")


def test_labels_are_saved_without_loss_when_workers_are_good(easy):
    bought = simulate(*easy, StoppingRule(), seed=1)
    assert bought.saved > 0.3
    assert bought.accuracy >= bought.accuracy_all - 0.02
    assert bought.tasks_done > 40


def test_everything_is_bought_when_the_rule_is_never_sure(easy):
    bought = simulate(*easy, NEVER_SURE, seed=1)
    assert (bought.bought, bought.saved, bought.tasks_done) == (720, 0, 0)
    assert bought.accuracy == bought.accuracy_all == bought.accuracy_fixed


def test_two_labels_a_task_are_bought_when_any_are_enough(easy):
    assert simulate(*easy, StoppingRule(confidence=0.0, lead=-99), seed=1).bought == 120


def test_the_same_is_bought_when_the_seed_is_the_same(easy):
    assert simulate(*easy, StoppingRule(), seed=4) == simulate(*easy, StoppingRule(), seed=4)


@pytest.mark.parametrize("total", [0, 3, 5, 9, 10])
def test_fixed_overlap_spends_the_same_when_tasks_have_unequal_labels(total):
    most = np.array([1, 2, 3, 4])
    spread = evenly(most, total, seed=0)
    assert spread.sum() == total
    assert (spread <= most).all()
    assert (np.minimum(most, spread.max() - 1) <= spread).all()


def test_the_command_reports_each_set_and_the_means(tmp_path):
    for name in ("one", "two"):
        make_set(tmp_path / name, "choice", tasks=30, a_task=8, accuracy=0.9)
    make_set(tmp_path / "words", "text", tasks=30)
    result = CliRunner().invoke(app, ["bench", "overlap", "--seeds", "2", "--json", "--data", str(tmp_path)])
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert [one["set"] for one in figures["sets"]] == ["one", "two"]
    assert figures["left_out"] == ["words"]
    assert figures["means"]["saved"] == pytest.approx(np.mean([one["saved"] for one in figures["sets"]]), abs=1e-3)


@pytest.mark.parametrize(
    ("difference", "saved", "problems"), [(0.01, 0.5, 0), (-0.004, 0.35, 0), (-0.006, 0.5, 1), (-0.006, 0.34, 2)]
)
def test_a_problem_is_named_when_too_much_is_lost_or_too_little_saved(difference, saved, problems):
    assert len(problems_of({"difference": difference, "saved": saved})) == problems
