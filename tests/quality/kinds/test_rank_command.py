"""`kapok rank`: a file of comparisons becomes an order."""

from pathlib import Path

from typer.testing import CliRunner

from cli.main import app

RUN = CliRunner()


def test_rank_prints_the_order_when_the_file_is_good(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    rows = ["a,b,1,left", "b,a,2,right", "b,c,1,left", "c,b,2,tie", "a,c,3,left"] * 5
    file.write_text("left,right,worker,preference\n" + "\n".join(rows))
    result = RUN.invoke(app, ["rank", str(file)])
    assert result.exit_code == 0, result.output
    assert [line.split("\t")[1] for line in result.output.splitlines()[1:4]] == ["a", "b", "c"]


def test_rank_says_so_when_groups_are_not_linked(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("left,right,worker,preference\na,b,1,left\nx,y,1,right\n")
    result = RUN.invoke(app, ["rank", str(file)])
    assert "places hold within a group only" in result.output


def test_rank_refuses_when_a_line_is_no_comparison(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    for text in (
        "left,right,worker,preference\na,b,1,up\n",
        "left,right\na,b\n",
        "left,right,worker,preference\na,a,1,tie\n",
    ):
        file.write_text(text)
        assert RUN.invoke(app, ["rank", str(file)]).exit_code != 0
