import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.bench_speed import REDUNDANCY, make_judgments
from cli.console import Voice
from cli.errors import CannotRunError
from cli.main import app
from cli.scenario.crowd_data import DataKind, read_table
from cli.scenario.crowd_scores import calibration_error, majority, score
from cli.scenario.peers import environment, run_peers
from tests.cli.crowd_folders import LABEL_SETS, make_set, write_set


def _bench(*arguments):
    return CliRunner().invoke(app, ["bench", "consensus", "--no-peers", "--json", *map(str, arguments)])


def test_each_set_gets_a_line_and_each_kind_a_mean_when_folders_are_given_in_three_ways(tmp_path):
    one, two = (make_set(tmp_path / name, "choice") for name in ("one", "two"))
    for kind in LABEL_SETS[1:]:
        make_set(tmp_path / "others" / kind, kind)
    result = _bench("--data", one, two, "--data", tmp_path / "others")
    assert result.exit_code == 0, result.stdout
    figures = json.loads(result.stdout)
    assert sorted(found["set"] for found in figures["sets"]) == ["bio", "numeric", "one", "text", "two"]
    means = figures["means"]
    assert set(means) == set(LABEL_SETS)
    assert means["choice"]["methods"]["ours"]["sets"] == 2
    assert means["choice"]["methods"]["ours"]["accuracy"] >= 0.85
    assert 0 <= means["choice"]["ece"] <= 1
    assert means["numeric"]["methods"]["ours"]["mae"] <= means["numeric"]["methods"]["mean"]["mae"] + 1
    assert means["text"]["methods"]["ours"]["wer"] <= 0.05
    assert means["bio"]["methods"]["ours"]["span_f1"] >= 0.9
    assert figures["ever_a_point_under"] is False


def test_a_majority_counts_in_expectation_when_votes_are_tied(tmp_path):
    labels = [("t", "a", "0"), ("t", "b", "1"), ("u", "a", "0"), ("u", "b", "0")]
    table = read_table(write_set(tmp_path / "set", labels) / "labels.csv")
    assert majority(table, DataKind.CHOICE, {"t": "1", "u": "0"}) == {"majority": {"accuracy": 0.75}}


@pytest.mark.parametrize(
    ("kind", "found", "truth", "scores"),
    [
        (DataKind.CHOICE, ["1", "2"], ["1.0", "3"], {"accuracy": 0.5}),
        (DataKind.NUMERIC, [1.0, 5.0], ["4", "1"], {"mae": 3.5, "rmse": 12.5**0.5}),
        (DataKind.TEXT, ["Hello, World", "x"], ["hello world", "y z"], {"wer": 0.5}),
        (DataKind.BIO, ["B-A I-A O", "O B I"], ["B-A I-A O", "O B O"], {"span_f1": 0.5}),
    ],
)
def test_scores_are_those_of_the_field(kind, found, truth, scores):
    tasks = [f"t{n}" for n in range(len(found))]
    assert score(kind, tasks, found, dict(zip(tasks, truth, strict=True))) == pytest.approx(scores)


def test_calibration_error_is_the_distance_of_confidence_and_accuracy():
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    assert calibration_error(confidence, np.array([1.0, 1.0, 1.0, 0.0])) == pytest.approx(0.05)
    assert calibration_error(confidence, np.zeros(4)) == pytest.approx(0.75)


@pytest.mark.parametrize("arguments", [[], ["--synthetic", "1e4", "--data", "."], ["--data", "nowhere"]])
def test_a_wrong_call_is_refused(arguments):
    assert _bench(*arguments).exit_code == 1


def test_a_set_is_refused_when_no_truth_matches(tmp_path):
    folder = write_set(tmp_path / "set", [("t", "a", "0"), ("t", "b", "1")], {"other": "1"})
    assert _bench("--data", folder).exit_code == 1


def test_made_judgments_are_five_different_workers_a_task_when_seeded():
    task, worker, label = make_judgments(5_000, 3)
    assert len(np.unique(task.astype(np.int64) * 20_000 + worker)) == 5_000
    assert np.bincount(task).tolist() == [REDUNDANCY] * 1_000
    assert set(label.tolist()) == set(range(5))
    assert all(np.array_equal(*pair) for pair in zip(make_judgments(5_000, 3), (task, worker, label), strict=True))


def test_speed_and_memory_are_measured_in_a_process_of_its_own():
    result = _bench("--synthetic", "1e4")
    assert result.exit_code == 0, result.stderr
    runs = json.loads(result.stdout)["runs"]
    assert set(runs) == {"dawid_skene", "auto"}
    assert all(run["cpu_seconds"] > 0 for run in runs.values())


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The interpreter of crowd-kit's environment, where packages can be had."""
    try:
        return environment(tmp_path_factory.mktemp("home"), Voice(quiet=True))
    except CannotRunError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", ["choice", "text", "bio"])
def test_the_peers_label_every_task_when_their_environment_can_be_made(peer, tmp_path, kind):
    table = read_table(make_set(tmp_path / "set", kind) / "labels.csv")
    found = run_peers(peer, table, DataKind(kind), 60)
    assert len(found) >= 2
    for name, one in found.items():
        assert one.failed == "", name
        assert len(one.labels) == 40


def test_the_other_sets_are_judged_when_one_cannot_be(tmp_path):
    make_set(tmp_path / "good", "choice")
    write_set(tmp_path / "lost", [("t", "w", "yes"), ("t", "v", "yes")], {"another": "yes"})
    result = CliRunner().invoke(
        app, ["bench", "consensus", "--no-peers", "--json", "--data", str(tmp_path / "lost"), str(tmp_path / "good")]
    )
    assert result.exit_code == 1
    figures = json.loads(result.stdout)
    assert [one["set"] for one in figures["sets"]] == ["good"]
    assert ["lost: No task" in problem for problem in figures["problems"]] == [True]
