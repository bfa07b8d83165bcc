"""`kapok bench consensus`: the engine beside the majority and crowd-kit, on sets of crowd labels with known truth."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from cli.bench_speed import show_speed, speed
from cli.console import Voice, conclude, problems_explained
from cli.errors import CannotRunError, named
from cli.scenario.consensus_methods import Found, consensus
from cli.scenario.crowd_data import CrowdTable, DataKind, folders_of, read_table, read_truth, recognise
from cli.scenario.crowd_scores import MAIN, Scores, calibration_error, majority, same_class, score
from cli.scenario.peers import environment, run_peers
from cli.scenario.views import show_problems
from marketplace.core.settings import get_settings

GOLD_SHARE: Final = 0.1
MOST_UNDER: Final = 0.01
"""So far under the majority the engine may never be."""


def consensus_bench(  # the options of a command are its arguments
    sets: Annotated[list[Path] | None, typer.Argument(help="More folders.")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder with labels.csv and truth.csv, or of such; may be repeated.")
    ] = None,
    synthetic: Annotated[
        float | None, typer.Option(min=1000, help="Measure speed and memory on so many made judgments instead.")
    ] = None,
    peers: Annotated[bool, typer.Option(help="Run crowd-kit too, in an environment made on the first run.")] = True,
    peer_seconds: Annotated[int, typer.Option(min=1, help="What each method of crowd-kit may take.")] = 300,
    turns: Annotated[int, typer.Option(min=1, help="With --synthetic: how often each is measured.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Splits ties, draws gold, makes judgments.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Compare the engine with the majority and with crowd-kit's methods; one line a set, means at the end.

    The kind of labels is recognised; every set is judged by the same method without tuning.
    """
    voice = Voice(quiet=as_json)
    with problems_explained():
        places = [*(data or ()), *(sets or ())]
        if bool(places) == (synthetic is not None):
            raise CannotRunError("Give folders with --data, or --synthetic.", "kapok bench consensus --data DIR")
        python = environment(get_settings().kapok_home, voice) if peers else None
        if synthetic is not None:
            figures = speed(int(synthetic), python, turns, seed, voice)
            show = show_speed
        else:
            folders = folders_of(places, truth=True)
            figures = all_sets(folders, python, peer_seconds, seed, voice)
            show = show_sets
    conclude(figures, show, voice, as_json=as_json)


def all_sets(
    folders: Sequence[Path], python: Path | None, peer_seconds: int, seed: int, voice: Voice
) -> dict[str, Any]:
    """Return the summary of all sets; one that cannot be judged is a problem, and the others go on.

    Raises:
        CannotRunError: none can be judged.
    """
    sets, failed = [], []
    for folder in folders:
        try:
            sets.append(one_set(folder, python, peer_seconds, seed, voice))
        except CannotRunError as error:
            failed.append(named(folder, error))
    if not sets:
        raise failed[0]
    figures = summary(sets)
    return figures | {"problems": [*figures["problems"], *map(str, failed)]}


def one_set(folder: Path, python: Path | None, peer_seconds: int, seed: int, voice: Voice) -> dict[str, Any]:
    """Return the figures of one set: scores and seconds of each method, and how honest the engine's confidence is."""
    table, truth = read_table(folder / "labels.csv"), read_truth(folder / "truth.csv")
    kind = recognise(table)
    with voice.step(f"{table.name} ({kind}, {len(table):,} labels)"):
        began = time.process_time()
        found = consensus(table, kind, seed=seed)
        seconds = time.process_time() - began
        results: dict[str, dict[str, Any]] = {}
        results["ours"] = _rounded(score(kind, table.tasks, found.label, truth)) | {"seconds": round(seconds, 3)}
        for name, scores in majority(table, kind, truth).items():
            results[name] = dict(_rounded(scores))
        for name, peer in (run_peers(python, table, kind, peer_seconds) if python else {}).items():
            results[name] = {"seconds": round(peer.seconds, 3)}
            if peer.labels is None:
                results[name]["failed"] = peer.failed
            else:
                results[name] |= _rounded(score(kind, table.tasks, _spelled(table, kind, peer.labels), truth))
    return {
        "set": table.name,
        "kind": str(kind),
        "tasks": len(table.tasks),
        "workers": len(table.workers),
        "labels": len(table),
        "truths": sum(task in truth for task in table.tasks),
        "results": results,
        "calibration": _calibration(table, found, truth, seed) if kind is DataKind.CHOICE else None,
    }


def summary(sets: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all sets with the means of each kind over the sets, and the engine's worst set."""
    means: dict[str, dict[str, Any]] = {}
    for kind in DataKind:
        of_kind = [one for one in sets if one["kind"] == kind]
        if of_kind:
            means[str(kind)] = _means(of_kind, MAIN[kind])
    under = {
        one["set"]: round(_under_majority(one), 4) for one in sets if one["kind"] in (DataKind.CHOICE, DataKind.BIO)
    }
    far = [
        f"{name}: {points * 100:.1f} points under the majority" for name, points in under.items() if points > MOST_UNDER
    ]
    return {
        "sets": list(sets),
        "means": means,
        "under_majority": under,
        "ever_a_point_under": bool(far),
        "problems": far,
    }


def show_sets(out: Console, figures: dict[str, Any]) -> None:
    """Print a table for each kind: one line a set, the means at the end."""
    for kind, means in figures["means"].items():
        of_kind = [one for one in figures["sets"] if one["kind"] == kind]
        methods = list(dict.fromkeys(chain.from_iterable(one["results"] for one in of_kind)))
        honest = ("ECE", "ECE gold") if kind == DataKind.CHOICE else ()
        table = Table("set", "tasks", *methods, *honest, "s", title=f"{kind}: {MAIN[DataKind(kind)]}")
        for one in of_kind:
            ece = [one["calibration"][key] for key in ("ece", "ece_calibrated")] if honest else []
            cells = [_cell(one["results"].get(name), kind) for name in methods]
            table.add_row(
                one["set"],
                str(one["tasks"]),
                *cells,
                *map("{:.3f}".format, ece),
                f"{one['results']['ours']['seconds']:.1f}",
            )
        table.add_section()
        spread = [f"{means[key]:.3f}" for key in ("ece", "ece_calibrated")] if honest else []
        table.add_row("mean", "", *(_cell(means["methods"].get(name), kind) for name in methods), *spread, "")
        out.print(table)
        for name, why in _failures(of_kind):
            out.print(f"{name}: failed: {why}", markup=False)
    ever = figures["ever_a_point_under"]
    out.print(f"More than 1 point under the majority: {'YES' if ever else 'never'}")
    show_problems(out, figures["problems"])


def _calibration(table: CrowdTable, found: Found, truth: Mapping[str, str], seed: int) -> dict[str, float]:
    """Return the calibration error of choices without gold, and with a tenth of the truth as gold on all the rest."""
    table = table.without_blanks()
    known = [(place, truth[task]) for place, task in enumerate(table.tasks) if task in truth]
    code_of = {
        value: next((code for code, label in enumerate(table.labels) if same_class(label, value)), -1)
        for value in set(truth.values())
    }
    places, codes = np.array([place for place, _ in known]), np.array([code_of[value] for _, value in known])
    right = np.array([found.label[place] for place in places], dtype=object)
    hit = np.array([same_class(str(label), value) for label, (_, value) in zip(right, known, strict=True)], dtype=float)
    drawn = np.zeros(len(known), dtype=bool)
    drawn[np.random.default_rng(seed).permutation(len(known))[: max(1, round(GOLD_SHARE * len(known)))]] = True
    given = drawn & (codes >= 0)
    gold = dict(zip(places[given].tolist(), codes[given].tolist(), strict=True))
    again = consensus(table, DataKind.CHOICE, gold=gold, seed=seed)
    rest = ~drawn
    if again.code is None or not rest.any():
        return {"ece": round(calibration_error(found.confidence[places], hit), 4), "ece_calibrated": 0.0}
    hit_again = (again.code[places] == codes).astype(float)
    return {
        "ece": round(calibration_error(found.confidence[places], hit), 4),
        "ece_calibrated": round(calibration_error(again.confidence[places][rest], hit_again[rest]), 4),
        "accuracy_of_rest": round(float(hit_again[rest].mean()), 4),
        "gold": len(gold),
    }


def _spelled(table: CrowdTable, kind: DataKind, labels: Sequence[Any]) -> list[Any]:
    if kind is not DataKind.CHOICE:
        return ["" if label == -1 else label for label in labels]
    names = table.without_blanks().labels
    return [names[code] if code >= 0 else "" for code in labels]


def _means(of_kind: Sequence[dict[str, Any]], main: str) -> dict[str, Any]:
    """Return each method's mean over the sets on which it ended (`sets`), and those of the calibration errors."""
    methods: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(chain.from_iterable(one["results"] for one in of_kind)):
        ended = [one["results"][name] for one in of_kind if main in one["results"].get(name, {})]
        if ended:
            keys = [key for key in ended[0] if key != "seconds"]
            methods[name] = {key: round(float(np.mean([one[key] for one in ended])), 4) for key in keys}
            methods[name]["sets"] = len(ended)
    honest = [one["calibration"] for one in of_kind if one["calibration"]]
    errors = {
        key: round(float(np.mean([one[key] for one in honest])), 4) for key in ("ece", "ece_calibrated") if honest
    }
    return {"methods": methods} | errors


def _under_majority(one: dict[str, Any]) -> float:
    main = MAIN[DataKind(one["kind"])]
    return float(one["results"]["majority"][main] - one["results"]["ours"][main])


def _rounded(scores: Scores) -> Scores:
    return {name: round(value, 4) for name, value in scores.items()}


def _cell(result: dict[str, Any] | None, kind: str) -> str:
    if result is None:
        return ""
    if "failed" in result:
        return "failed"
    value = result[MAIN[DataKind(kind)]]
    return f"{value:.2f} / {result['rmse']:.2f}" if kind == DataKind.NUMERIC else f"{value * 100:.1f}"


def _failures(sets: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for one in sets:
        for name, result in one["results"].items():
            if "failed" in result:
                yield f"{one['set']}, {name}", result["failed"]
