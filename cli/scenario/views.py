"""Reports of scenarios for people."""

from typing import Any, Final

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

MINOR_IN_MAJOR: Final = 100  # the scenarios settle in CNY


def money(minor: int) -> str:
    """Return an amount of CNY as people write it."""
    return f"{minor / MINOR_IN_MAJOR:,.2f} CNY"


def show_demo(out: Console, figures: dict[str, Any]) -> None:
    """Print what became of the demo's request."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("Request", f"{figures['request_state']}, in {figures['seconds']} s")
    facts.add_row("Tasks with a consensus", f"{figures['consensus_tasks']} of {figures['tasks']}")
    facts.add_row("Right, by the known truth", f"{figures['accuracy']:.1%}")
    facts.add_row("Answers", f"{figures['answers']}, accepted {figures['accepted_answers']}")
    facts.add_row("Bundles", f"{figures['accepted_bundles']} accepted, {figures['rejected_bundles']} rejected")
    facts.add_row("Appeals", f"{figures['appeals_upheld']} upheld, {figures['appeals_overturned']} overturned")
    _add_money(facts, figures)
    for one in figures["exports"]:
        opens = "opens" if one["opens"] else "DOES NOT OPEN"
        facts.add_row(f"Export {one['format']}", f"{one['rows']} rows, {one['bytes']:,} bytes, {opens}")
    _add_report(facts, figures["report"])
    _add_integrity(facts, figures["integrity"])
    out.print(_workers(figures["workers"]))
    out.print(Panel(facts, title="What became of it (read from the database)", expand=False))
    show_problems(out, figures["problems"])


def _add_report(facts: Table, report: dict[str, Any]) -> None:
    if best := report["estimate"]:
        between = f"{best['low']:.1%} to {best['high']:.1%}, by {best['source']} ({best['samples']})"
        facts.add_row("Right, by the report", f"{best['value']:.1%} ({between})")
    facts.add_row("Report", "\n".join(report["pages"]))
    facts.add_row("Evidence", report["evidence"])
    facts.add_row("Recomputed from it", f"{report['figures_reproduced']} of {report['figures']} figures are the same")


def _add_integrity(facts: Table, found: dict[str, Any]) -> None:
    for kind in ("spammers", "copiers", "bots"):
        one = found[kind]
        facts.add_row(f"Caught {kind}", f"{one['caught']} of {one['injected']}, {one['with_20_labels']} with 20 labels")
    honest, careless = found["honest"], found["careless"]
    facts.add_row("False alarms", f"{honest['false_alarms']} of {honest['workers']} honest workers")
    facts.add_row("Careless, flagged", f"{careless['flagged']} of {careless['workers']}")


def _add_money(facts: Table, figures: dict[str, Any]) -> None:
    facts.add_row("Paid once each", f"{figures['paid_bundles']} bundles; twice: {figures['double_paid']}")
    facts.add_row("To workers", money(figures["workers_minor"]))
    facts.add_row("To vendors", money(figures["vendors_minor"]))
    facts.add_row("Platform fee", money(figures["platform_fee_minor"]))
    facts.add_row("Given back", f"{money(figures['refund_minor'])} of {money(figures['funded_minor'])}")
    if figures["kept_for_appeals_minor"]:
        facts.add_row("Kept for appeals", money(figures["kept_for_appeals_minor"]))
    if "payouts_paid" in figures:
        returned = (
            f"{figures['payouts_returned']} returned by the bank, {figures['returned_and_repaid']} of them paid anew"
        )
        facts.add_row("Payouts", f"{figures['payouts_paid']} paid, {returned}")
        facts.add_row("Refunds to the source", f"{figures['refunds']}, {money(figures['refunded_to_source_minor'])}")
        facts.add_row("Ledger verify", f"{figures['ledger_checks']} checks, {figures['ledger_breaks']} breaks")
    facts.add_row("Ledger sums to zero", "yes" if figures["ledger_sum_zero"] else "NO")


def _workers(rows: list[dict[str, Any]]) -> Table:
    columns = ("worker", "is", "skill", "sent", "back", "accepted", "rejected", "paid", "CNY")
    table = Table(*columns, title="Bundles of each worker", padding=(0, 0))
    for row in rows:
        table.add_row(
            row["name"], row["kind"], f"{row['skill']:.2f}", str(row["submitted"]), str(row["reworked"]),
            str(row["accepted"]), str(row["rejected"]), str(row["paid_bundles"]),
            f"{row['paid_out_minor'] / MINOR_IN_MAJOR:,.2f}",
        )  # fmt: skip
    return table


def show_problems(out: Console, problems: list[str]) -> None:
    """Print what is broken, or that nothing is."""
    if not problems:
        out.print("[green]✓[/] Nothing is broken.")
    for problem in problems:
        out.print(f"[bold red]✗[/] {problem}", highlight=False)


def show_replay(out: Console, figures: dict[str, Any]) -> None:
    """Print what became of a replay."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("Set", f"{figures['name']}: {figures['kind']}, {figures['workers']} workers")
    facts.add_row("Request", f"{figures['request_state']}, in {figures['seconds']} s")
    facts.add_row("Labels", f"{figures['labels']}, submitted once: {figures['labels_submitted_once']}")
    facts.add_row("Tasks with a consensus", f"{figures['consensus_tasks']} of {figures['tasks']}")
    for name in ("accuracy", "mae", "rmse", "word_error_rate"):
        if name in figures:
            facts.add_row(name.replace("_", " "), f"{figures[name]:.4f}")
    if figures["overlap"]:
        bought = figures["overlap"]
        told = f"{bought['labels_used']} labels would do ({bought['saved']:.1%} saved): {bought['accuracy']:.4f}"
        fixed = f"fixed overlap at equal spend {bought['accuracy_fixed_at_equal_spend']:.4f}"
        facts.add_row("Adaptive overlap", f"{told}; {fixed}, all labels {bought['accuracy_all']:.4f}")
    _add_money(facts, figures)
    for one in figures["paid_most"]:
        facts.add_row("", f"{one['worker']}: {money(one['earned_minor'])}")
    out.print(Panel(facts, title="What became of it (read from the database)", expand=False))
    show_problems(out, figures["problems"])
