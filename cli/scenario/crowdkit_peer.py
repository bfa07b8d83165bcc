"""Runs crowd-kit's methods: a script under the interpreter of `peers.environment`, which Kapok never imports.

Usage: crowdkit_peer.py JOB.json; the job names the columns' file, the methods and the seconds each may take. Each
method's result is one JSON line on standard output as soon as it is there.
"""

import json
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from crowdkit.aggregation import (
    GLAD,
    KOS,
    MACE,
    MMSR,
    ROVER,
    DawidSkene,
    MajorityVote,
    OneCoinDawidSkene,
    TextHRRASA,
    TextRASA,
)
from sklearn.feature_extraction.text import HashingVectorizer

HASHED = HashingVectorizer(n_features=256, analyzer="char_wb", ngram_range=(2, 3), alternate_sign=False)


def encode(text: str) -> Any:
    """Return a text's hashed letter pairs and triples, which stand for a sentence encoder's embedding."""
    return HASHED.transform([text]).toarray()[0]


METHODS: dict[str, Any] = {
    "MajorityVote": MajorityVote,
    "DawidSkene": DawidSkene,
    "OneCoinDawidSkene": OneCoinDawidSkene,
    "GLAD": lambda: GLAD(silent=True),
    "M-MSR": MMSR,
    "MACE": lambda: MACE(verbose=0, random_state=0),
    "KOS": lambda: KOS(random_state=0),
    "ROVER": lambda: ROVER(lambda text: text.split(" "), " ".join, silent=True),
    "TextRASA": lambda: TextRASA(encoder=encode),
    "TextHRRASA": lambda: TextHRRASA(encoder=encode),
}


def stop(_signal: int, _frame: Any) -> None:
    """End the method that has taken its time."""
    raise TimeoutError("it took too long")


def peak_bytes(field: str) -> int:
    """Return the process's resident memory now (VmRSS) or at most so far (VmHWM), in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def methods(job: dict[str, Any]) -> None:
    """Run each method of a job on its columns, and print what it found."""
    columns = pd.read_json(job["columns"], dtype={"text": str}) if job["texts"] else arrays(job["columns"])
    signal.signal(signal.SIGALRM, stop)
    for name in job["methods"]:
        began = time.process_time()
        signal.alarm(job["seconds"])
        try:
            known = (None,) if name.startswith("Text") else ()  # no true texts
            found = METHODS[name]().fit_predict(columns.copy(), *known)
            line: dict[str, Any] = {"labels": {str(task): plain(label) for task, label in found.items()}}
        except Exception as error:  # noqa: BLE001  # a method that fails is a result of its own
            line = {"failed": f"{type(error).__name__}: {error}"[:200]}
        finally:
            signal.alarm(0)
        print(json.dumps({"method": name, "seconds": time.process_time() - began} | line), flush=True)


def speed(job: dict[str, Any]) -> None:
    """Run so many full iterations of Dawid–Skene, and print what they cost beyond the loaded data."""
    columns = arrays(job["columns"])
    loaded = peak_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak of loading is not counted
    began = time.process_time()
    # no loss ends it early: crowd-kit's falls on some sets
    fit = DawidSkene(n_iter=job["iterations"], tol=-np.inf).fit(columns)
    cpu = time.process_time() - began
    extra = peak_bytes("VmHWM") - loaded
    labels = fit.labels_.sort_index()
    np.save(job["out"], labels.to_numpy())
    print(json.dumps({"cpu_seconds": cpu, "extra_bytes": extra}), flush=True)


def arrays(path: str) -> pd.DataFrame:
    """Return the columns of an .npz file."""
    with np.load(path) as file:
        return pd.DataFrame({name: file[name] for name in ("task", "worker", "label")})


def plain(label: Any) -> Any:
    """Return a label as JSON knows it."""
    return label.item() if hasattr(label, "item") else label


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    wanted = json.loads(Path(sys.argv[1]).read_text())
    (speed if wanted.get("iterations") else methods)(wanted)
