"""A process that fits the engine on columns of judgments once, for `kapok bench consensus --synthetic`.

Usage: python -m cli.scenario.consensus_child COLUMNS.npz MODEL ITERATIONS OUT.npy
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from cli.scenario.consensus_methods import fit_columns

# the peak of loading is not counted (proc(5): 5 resets the peak of the resident set)
RESET_PEAK = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def _bytes(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _main(columns: str, model: str, iterations: str, out: str) -> None:
    with np.load(columns) as file:
        task, worker, label = file["task"], file["worker"], file["label"]
    loaded = _bytes("VmRSS")
    RESET_PEAK.write_text("5")
    began = time.process_time()
    fit = fit_columns(task, worker, label, plain_iterations=int(iterations) if model == "dawid_skene" else None)
    spent = time.process_time() - began
    extra = _bytes("VmHWM") - loaded
    np.save(out, fit.label)
    print(json.dumps({"cpu_seconds": spent, "extra_bytes": extra}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
