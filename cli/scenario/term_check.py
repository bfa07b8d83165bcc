"""The dataset request of the demo: is this the right name of a Chinese term in another language?"""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

from cli.scenario import cldr
from cli.scenario.cldr import Pair
from cli.scenario.market import in_seconds
from marketplace.core.money import PRICE_SCALE

CURRENCY: Final = "CNY"
CEILING_MINOR: Final = 12  # fen an answer, at most
OVERLAP_MIN, OVERLAP_MAX = 3, 6
BUNDLE_TASKS: Final = 10
# A simulated person looks at a task for tens of milliseconds; the bar stands to that as a second does to a person.
MIN_SECONDS: Final = 0.05
DAY: Final = 86_400.0
CORRECT, WRONG = "correct", "wrong"
LABEL_SCHEMA: Final[dict[str, Any]] = {
    "kind": "single_choice",
    "choices": [
        {"value": CORRECT, "label": {"zh-CN": "正确", "en": "Correct", "vi": "Đúng", "th": "ถูกต้อง"}},
        {"value": WRONG, "label": {"zh-CN": "错误", "en": "Wrong", "vi": "Sai", "th": "ผิด"}},
    ],
}
GUIDELINE: Final[dict[str, Any]] = {
    "body": (
        "对照中文术语，判断给出的外文名称是否正确。\n\n"
        "Is `translation` the name of the Chinese term `source` in the language `language`? "
        "Choose **wrong** when it is the name of something else."
    ),
    "examples": [
        {
            "data": {"source": "泰国", "language": "vi", "translation": "Thái Lan"},
            "answer": {"choice": CORRECT}, "right": True, "why": "Thái Lan 就是泰国。",
        },
        {
            "data": {"source": "泰国", "language": "vi", "translation": "Đức"},
            "answer": {"choice": CORRECT}, "right": False, "why": "Đức 是德国。",
        },
    ],
}  # fmt: skip


def budget_minor(tasks: int) -> int:
    """Return what the most answers cost at the price ceiling."""
    return tasks * OVERLAP_MAX * CEILING_MINOR


def draft(tasks: int, *, bid_seconds: float = 30 * DAY, **changes: Any) -> dict[str, Any]:
    """Return the draft of a term check of so many tasks; `changes` replace its fields."""
    return {
        "title": "东盟八语术语核对 · Terms in eight languages of ASEAN",
        "description": "Names of territories, languages and currencies (CLDR), Chinese beside the other language.",
        "subject": "translation",
        "languages": [cldr.SOURCE, *cldr.TARGETS],
        "currency": CURRENCY,
        "unit_price_ceiling": CEILING_MINOR * PRICE_SCALE,
        "budget_minor": budget_minor(tasks),
        "deadline": in_seconds(bid_seconds + 60 * DAY),
        "bid_deadline": in_seconds(bid_seconds),
        "quality_plan": {
            "overlap_min": OVERLAP_MIN, "overlap_max": OVERLAP_MAX, "confidence_target": 0.97, "gold_share": 0.1,
            "gold_pass_share": 0.75, "min_seconds_per_task": MIN_SECONDS, "min_agreement": 0.6, "bundle_minutes": 5,
            "bundle_max_tasks": BUNDLE_TASKS, "max_reworks": 1,
        },
        "data_class": "public",
        "residency": ["*"],
        "channel": "vendors",
        "award_mode": "manual",
        "refund_to": "source",
        "release_window_seconds": 0,
        "seconds_per_task": 6,
        "label_schema": LABEL_SCHEMA,
        "guideline": GUIDELINE,
        **changes,
    }  # fmt: skip


def as_jsonl(terms: Sequence[Pair], gold: Sequence[Pair]) -> bytes:
    """Return the data of a term check as JSON Lines; gold pairs say whether they are correct."""
    lines = [_row(pair) for pair in terms] + [_row(pair) | {"gold": truth_of(pair)} for pair in gold]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def _row(pair: Pair) -> dict[str, Any]:
    return {
        "id": pair.id,
        "data": {
            "kind": pair.kind, "source": pair.source, "language": pair.language, "translation": pair.translation,
        },
    }  # fmt: skip


def truth_of(pair: Pair) -> str:
    """Return the right answer to a pair."""
    return CORRECT if pair.correct else WRONG


class Knowledge:
    """What somebody who looks a term up finds: the known truth, or when they slip, the opposite."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._truth = {(pair.language, pair.source, pair.translation): truth_of(pair) for pair in pairs}

    def answer(self, data: dict[str, Any], right: bool, _dice: random.Random) -> dict[str, Any]:
        """Answer a task, rightly or wrongly."""
        truth = self._truth[(data["language"], data["source"], data["translation"])]
        return {"choice": truth if right else (WRONG if truth == CORRECT else CORRECT)}
