"""`kapok quality recompute` on the export of a small request."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from cli.main import app
from marketplace.quality.delivery_report.compute import compute_report
from marketplace.quality.delivery_report.evidence_file import lines_of
from tests.quality.report.test_compute import small

RUNNER = CliRunner()


def export(folder: Path, report: dict[str, Any] | None = None) -> Path:
    """Write the evidence of a small request with its own report, or this one."""
    evidence = small()
    stored = report or compute_report(evidence).model_dump(mode="json")
    file = folder / "small.evidence.jsonl"
    file.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines_of(evidence, stored)))
    return file


def run(*arguments: str | Path) -> Any:
    return RUNNER.invoke(app, ["quality", "recompute", *map(str, arguments)])


def test_all_figures_are_equal_when_nothing_was_changed(tmp_path: Path) -> None:
    done = run("--export", export(tmp_path))
    assert done.exit_code == 0, done.output
    assert "figures are reproduced from the export alone" in done.output
    assert "equal    gold.right = 2" in done.output
    assert run("--export", tmp_path).exit_code == 0


def test_figure_differs_when_the_report_was_changed(tmp_path: Path) -> None:
    report = compute_report(small()).model_dump(mode="json")
    report["gold"]["right"] = 3
    done = run("--export", export(tmp_path, report))
    assert done.exit_code == 1
    assert "✗ differs  gold.right: the report says 3, the export gives 2" in done.output


def test_figures_differ_when_an_answer_of_the_export_was_changed(tmp_path: Path) -> None:
    file = export(tmp_path)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    answer = next(line for line in lines if line["line"] == "answer" and line["value"] == {"choice": "positive"})
    answer["value"] = {"choice": "negative"}
    file.write_text("\n".join(json.dumps(line) for line in lines))
    done = run("--export", file, "--json")
    assert done.exit_code == 1
    said = json.loads(done.output)
    assert said["equal"] < said["figures"]
    assert any(one["figure"].startswith("class_figures") for one in said["different"])


def test_delivery_of_the_api_is_taken_as_the_report(tmp_path: Path) -> None:
    delivery = tmp_path / "delivery.json"
    delivery.write_text(json.dumps({"report": compute_report(small()).model_dump(mode="json")}))
    assert run("--export", export(tmp_path, {"tasks": 0}), "--report", delivery).exit_code == 0


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"line":"request"}', b"\xff\xfe"], ids=["empty", "object", "bare", "no_text"]
)
def test_file_is_refused_in_words_when_it_is_no_evidence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.evidence.jsonl"
    file.write_bytes(content)
    done = run("--export", file)
    assert done.exit_code == 1
    assert "is no evidence of a delivery" in done.output
    assert "Traceback" not in done.output
    assert run("--export", tmp_path / "none").exit_code == 1
