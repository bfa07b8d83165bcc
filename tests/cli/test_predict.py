import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.scenario.crowd_data import DataKind, read_table, recognise
from tests.cli.crowd_folders import LABEL_SETS, make_set, write_set


def _predict(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def _rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("kind", LABEL_SETS)
def test_every_task_gets_a_label_and_a_probability_when_auto_recognises_the_kind(tmp_path, kind):
    folder, out = make_set(tmp_path / f"set-{kind}", kind), tmp_path / "found.jsonl"
    (folder / "truth.csv").write_text("never read")
    assert recognise(read_table(folder / "labels.csv")) is DataKind(kind)
    assert _predict("--data", folder, "--out", out).exit_code == 0
    rows = _rows(out)
    assert Counter(row["task"] for row in rows) == Counter({f"t{n}": 1 for n in range(40)})
    assert {row["dataset"] for row in rows} == {f"set-{kind}"}
    assert all(0 <= row["confidence"] <= 1 for row in rows)
    assert {type(row["label"]) for row in rows} == {float if kind == "numeric" else str}


def test_labels_are_mostly_right_when_people_mostly_are(tmp_path):
    folder, out = make_set(tmp_path / "set", "choice"), tmp_path / "found.jsonl"
    _predict("--data", folder, "--out", out)
    truth = dict(line.split(",") for line in (folder / "truth.csv").read_text().split()[1:])
    assert sum(row["label"] == truth[row["task"]] for row in _rows(out)) >= 36


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([str(n % 10) for n in range(100)], DataKind.CHOICE),
        ([f"{n % 5}.0" for n in range(100)], DataKind.CHOICE),
        (["yes", "no", "not sure"] * 10, DataKind.CHOICE),
        (["B", "I", "O"] * 10, DataKind.CHOICE),  # a tag a task: classes
        (["B I O", "O O O", "B O"] * 10, DataKind.BIO),
        ([f"{n * 7 % 101 - 50}" for n in range(200)], DataKind.NUMERIC),
        ([f"{n / 7:.3f}" for n in range(100)], DataKind.NUMERIC),
        ([str(n // 5 * 5 % 100) for n in range(1, 400, 3)] + ["7", "1"], DataKind.NUMERIC),
        ([f"sentence number {n} of many" for n in range(50)], DataKind.TEXT),
        ([f"class {n % 200}" for n in range(2000)], DataKind.CHOICE),
        ([str(n % 200) for n in range(4000)], DataKind.CHOICE),
    ],
    ids=lambda value: value if isinstance(value, DataKind) else "",
)
def test_the_kind_is_recognised_from_the_labels_alone(tmp_path, labels, kind):
    # the same worker's labels of many tasks, and a second worker who answers otherwise
    rows = [(f"t{n}", "a", label) for n, label in enumerate(labels)]
    for n, label in enumerate(labels):
        other = f"{label}, perhaps" if kind is DataKind.TEXT else labels[(n * 37 + 11) % len(labels)]
        rows.append((f"t{n}", "b", other))
    assert recognise(read_table(write_set(tmp_path / "set", rows) / "labels.csv")) is kind


def test_the_last_row_counts_when_rows_repeat(tmp_path):
    folder = write_set(tmp_path / "set", [("t", "w", "no"), ("u", "w", "no"), ("t", "w", "yes")])
    table = read_table(folder / "labels.csv")
    assert table.repeated == 1
    assert [(table.tasks[t], table.labels[code]) for t, code in zip(table.task, table.label, strict=True)] == [
        ("u", "no"),
        ("t", "yes"),
    ]


@pytest.mark.parametrize("kind", ["choice", "numeric"])
def test_a_task_with_blank_labels_only_gets_a_row_when_others_have_labels(tmp_path, kind):
    rows = [(f"t{n}", f"w{m}", str(n % 2)) for n in range(8) for m in range(3)] + [("none", "w0", "")]
    out = tmp_path / "found.jsonl"
    assert _predict("--data", write_set(tmp_path / "set", rows), "--kind", kind, "--out", out).exit_code == 0
    last = _rows(out)[-1]
    assert last["task"] == "none"
    assert last["label"] in ("0", "1", 0.5)
    assert last["confidence"] <= 0.6


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        ("task,worker\n1,2\n", "auto", "lacks the columns label"),
        ("task,worker,label\n", "auto", "holds no labels"),
        ("task,worker,label\n1,2\n", "auto", "line 2"),
        ("task,worker,label\n1,2,many\n", "numeric", "no number"),
        ("task,worker,label\n1,2,O X\n", "bio", "no BIO tags"),
        ("task,worker,label\n1,2,nan\n", "numeric", "no number"),
        ("task,worker,label\n1,2, \n", "choice", "blank"),
    ],
)
def test_nothing_is_written_when_the_input_is_wrong(tmp_path, content, kind, says):
    good = make_set(tmp_path / "a-good-one", kind if kind != "auto" else "choice")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "labels.csv").write_text(content)
    out = tmp_path / "out" / "found.jsonl"
    out.parent.mkdir()
    result = _predict("--data", good, "--data", bad, "--kind", kind, "--out", out)
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert str(bad) in "".join(result.stderr.split())
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("odd", ["NA", "nan", "?", "12,5"])
def test_measures_are_measures_when_one_label_is_no_number(tmp_path, odd):
    rows = [(f"t{n}", f"w{m}", f"{n * 3 + m / 7:.2f}") for n in range(60) for m in range(4)]
    rows[17] = (*rows[17][:2], odd)
    folder, out = write_set(tmp_path / "set", rows), tmp_path / "found.jsonl"
    assert recognise(read_table(folder / "labels.csv")) is DataKind.NUMERIC
    result = _predict("--data", folder, "--out", out)
    assert result.exit_code == 0
    assert "1 labels are no numbers" in " ".join((result.stdout + result.stderr).split())
    assert len(_rows(out)) == 60


@pytest.mark.parametrize("odd", ["B-PER I-PER O ", "B-PER  I-PER O"])
def test_tags_are_tags_when_a_label_has_more_blanks(tmp_path, odd):
    rows = [(f"t{n}", f"w{m}", "B-PER I-PER O") for n in range(6) for m in range(3)]
    rows[4] = (*rows[4][:2], odd)
    folder, out = write_set(tmp_path / "set", rows), tmp_path / "found.jsonl"
    assert recognise(read_table(folder / "labels.csv")) is DataKind.BIO
    assert _predict("--data", folder, "--kind", "bio", "--out", out).exit_code == 0
    assert {row["label"] for row in _rows(out)} == {"B-PER I-PER O"}


def test_tags_keep_the_spelling_of_the_file_when_it_is_not_bio(tmp_path):
    rows = [(f"t{n}", f"w{m}", "O I-PER I-PER O") for n in range(6) for m in range(3)]
    out = tmp_path / "found.jsonl"
    _predict("--data", write_set(tmp_path / "set", rows), "--out", out)
    assert {row["label"] for row in _rows(out)} == {"O I-PER I-PER O"}
    assert min(row["confidence"] for row in _rows(out)) > 0.5


def test_spellings_of_a_class_are_one_when_only_blanks_or_zeros_differ(tmp_path):
    for name, odd, usual in (("blanks", "a ", "a"), ("zeros", "1.0", "1")):
        rows = [("x", "w0", odd), ("x", "w1", usual), ("x", "w2", "2"), ("x", "w3", "2"), ("x", "w4", usual)]
        rows += [(f"t{n}", f"w{m}", usual if n % 2 else "2") for n in range(10) for m in range(5)]
        out = tmp_path / f"{name}.jsonl"
        assert _predict("--data", write_set(tmp_path / name, rows), "--kind", "choice", "--out", out).exit_code == 0
        assert _rows(out)[0]["label"] == usual


def test_every_task_gets_a_row_when_the_header_or_the_end_has_blanks(tmp_path):
    folder, out = tmp_path / "set", tmp_path / "found.jsonl"
    folder.mkdir()
    (folder / "labels.csv").write_text(" task , worker ,label\n1,a,yes\n1,b,yes\n2,a,no\n   \n")
    assert _predict("--data", folder, "--out", out).exit_code == 0
    assert [row["task"] for row in _rows(out)] == ["1", "2"]


def test_nothing_is_written_when_two_folders_have_one_name(tmp_path):
    folders = [make_set(tmp_path / place / "same", "choice") for place in ("one", "two")]
    result = _predict("--data", folders[0], "--data", folders[1], "--out", tmp_path / "found")
    assert result.exit_code == 1
    assert "both named same" in " ".join(result.stderr.split())


def test_the_same_file_is_written_when_asked_again(tmp_path):
    folder = make_set(tmp_path / "set", "choice", accuracy=0.5)
    for name in ("one", "two"):
        _predict("--data", folder, "--out", tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
