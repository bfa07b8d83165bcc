"""What a fit may be told."""

from dataclasses import dataclass
from typing import Literal

Model = Literal["auto", "full", "one_coin", "dawid_skene"]


@dataclass(frozen=True, slots=True)
class ChoiceSettings:
    """How to fit.

    `full` gives every worker a confusion matrix, `one_coin` one accuracy, `dawid_skene` is Dawid and Skene (1979) as it
    was: no prior, most likely matrices. `auto` is `full`, or `one_coin` where matrices would not fit into memory.
    Memory is full at `most_cells` workers × classes².
    `shrinkage` is the strength, in answers a row, of a worker's prior matrix; `ability_strength` that of the crowd's
    accuracy in a worker's own (answers), `coin_strength` the same for one coin.
    The prior is learned for `warmup` iterations and then held fixed, so that
    the bound of the `iterations` after it cannot fall. `tolerance` is the largest change of a probability at which a
    fit ends (0: never early). `temper` and `vote_share` make raw posteriors honest (calibration.blend).
    """

    model: Model = "auto"
    iterations: int = 60
    warmup: int = 20
    tolerance: float = 1e-4
    shrinkage: float = 2.0
    ability_strength: float = 20.0
    coin_strength: float = 4.0
    most_cells: int = 20_000_000
    temper: float = 0.7
    vote_share: float = 0.4
