import csv
import random

import pytest

WORKERS, TASKS, EACH = 9, 60, 5


def write(path, columns, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return str(path)


@pytest.fixture(params=["choices", "numbers", "texts"])
def crowd(request, tmp_path):
    """A synthetic set of one kind: the truth, and labels of which four in five say the truth."""
    dice = random.Random(5)
    truth = {
        "choices": lambda task: ["cat", "dog", "bird"][task % 3],
        "numbers": lambda task: f"{task * 2.5:.1f}",
        "texts": lambda task: f"sentence number {task} was spoken by somebody in {task * 7} words",
    }[request.param]
    wrong = {"choices": lambda: "dog", "numbers": lambda: f"{dice.random() * 90:.3f}", "texts": lambda: "no idea"}
    labels = [
        (task, worker, truth(task) if dice.random() < 0.8 else wrong[request.param](), dice.randint(1, 30))
        for task in range(TASKS)
        for worker in dice.sample(range(WORKERS), EACH)
    ]
    labels.append(labels[0])  # a repeated row
    rows = [(task, truth(task)) for task in range(TASKS)]
    files = (
        write(tmp_path / "labels.csv", ("task", "worker", "label", "seconds"), labels),
        write(tmp_path / "truth.csv", ("task", "label"), rows),
    )
    return request.param, files


def test_replay_submits_every_real_label_once(kapok, crowd):
    kind, (labels, truth) = crowd
    figures = kapok.json("replay", "--labels", labels, "--truth", truth, "--name", kind)
    assert figures["problems"] == []
    assert figures["request_state"] == "closed"
    assert figures["labels"] == figures["labels_submitted_once"] == TASKS * EACH
    assert figures["repeated_rows"] == 1
    assert figures["tasks"] == figures["consensus_tasks"] == TASKS
    assert figures["workers"] == WORKERS
    assert figures["double_paid"] == 0
    assert figures["ledger_sum_zero"] is True
    better = {"choices": ("accuracy", 0.85, 1), "numbers": ("mae", 0, 15), "texts": ("word_error_rate", 0, 0.3)}[kind]
    assert better[1] <= figures[better[0]] <= better[2]


def test_replay_refuses_a_file_that_lacks_a_column(kapok, tmp_path):
    labels = write(tmp_path / "labels.csv", ("task", "label"), [(1, "a")])
    truth = write(tmp_path / "truth.csv", ("task", "label"), [(1, "a")])
    code, _ = kapok.run("replay", "--labels", labels, "--truth", truth)
    assert code == 1
