"""Which model computes the consensus of which kind of label."""

from collections.abc import Mapping
from typing import Final

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.choice.kind import ChoiceModel
from marketplace.quality.consensus.engine import KindModel
from marketplace.quality.consensus.multilabel_kind import MultiLabelModel
from marketplace.quality.consensus.numeric_kind import NumericModel
from marketplace.quality.consensus.preference import PreferenceModel
from marketplace.quality.consensus.shapes.kind import ShapesModel
from marketplace.quality.consensus.spans import SpansModel
from marketplace.quality.consensus.texts_model import TextModel

MODELS: Final[Mapping[LabelKind, KindModel]] = {
    LabelKind.SINGLE_CHOICE: ChoiceModel(),
    LabelKind.MULTIPLE_CHOICE: MultiLabelModel(),
    LabelKind.PAIRWISE_PREFERENCE: PreferenceModel(),
    LabelKind.NUMERIC_SCALE: NumericModel(),
    LabelKind.TEXT_SPANS: SpansModel(),
    LabelKind.FREE_TEXT: TextModel(),
    LabelKind.IMAGE_SHAPES: ShapesModel(),
}
"""Every kind has one."""
