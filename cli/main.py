"""The `kapok` command. A new command is one line here."""

from importlib.metadata import version

import typer

from cli import bank_file, ledger, platform_report, proof
from cli.bench import bench
from cli.bench_settlement import settlement
from cli.demo import demo
from cli.doctor import doctor
from cli.jobs import jobs
from cli.migrate import migrate
from cli.operator import operator
from cli.ranking import rank
from cli.replay import replay
from cli.retention import retention
from cli.simulate import simulate
from cli.up import up

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Kapok: an open marketplace for data annotation.",
)
app.command()(up)
app.command()(demo)
app.command()(rank)
app.command()(replay)
app.command()(simulate)
app.command()(doctor)
app.command()(migrate)
app.command()(operator)
app.command()(retention)
bench.command()(settlement)
app.add_typer(bench, name="bench")
app.add_typer(jobs, name="jobs")
app.add_typer(bank_file.app, name="bank-file")
app.add_typer(ledger.app, name="ledger")
app.add_typer(proof.app, name="proof")
app.add_typer(platform_report.app, name="report")


@app.command("version")
def show_version() -> None:
    """Print the version."""
    typer.echo(f"kapok {version('kapok')}")
