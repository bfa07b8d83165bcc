"""Which model computes the consensus of which kind of label."""

from collections.abc import Mapping
from typing import Final

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import KindModel
from marketplace.quality.consensus.numeric_kind import NumericModel
from marketplace.quality.consensus.texts_model import TextModel
from marketplace.quality.consensus.vote_model import VoteModel

MODELS: Final[Mapping[LabelKind, KindModel]] = {
    **{kind: VoteModel() for kind in LabelKind},
    LabelKind.NUMERIC_SCALE: NumericModel(),
    LabelKind.FREE_TEXT: TextModel(),
}
"""Every kind has one; a kind without a model of its own has the accuracy-weighted vote."""
