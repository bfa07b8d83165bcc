"""What a gate tells the worker: a sentence key with its parameters, and the sentence itself in English and Chinese.

Clients that translate take key and parameters; everybody else shows what the server wrote. No sentence names a task.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType
from typing import Any, Final

_SLACK: Final = 1e-9

SENTENCES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    "completeness.passed": (
        "All {tasks} tasks have a valid answer.",
        "全部 {tasks} 个任务都有有效答案。",
    ),
    "completeness.incomplete": (
        "Of {tasks} tasks {missing} have no answer, and {invalid} an answer that does not fit the label schema.",
        "{tasks} 个任务中，{missing} 个没有答案，{invalid} 个答案不符合标签规范。",
    ),
    "minimum_time.passed": (
        "{seconds} seconds a task on average; the floor is {floor}.",
        "平均每个任务 {seconds} 秒；下限是 {floor} 秒。",
    ),
    "minimum_time.fast": (
        "{seconds} seconds a task on average; the floor is {floor}. This is noted; speed alone takes no pay away.",
        "平均每个任务 {seconds} 秒；下限是 {floor} 秒。已作记录；仅因速度快不会扣减报酬。",
    ),
    "minimum_time.fast_and_wrong": (
        "{seconds} seconds a task (floor: {floor}), and {right} of {seen} known answers right (bar: {needed}).",
        "平均每题 {seconds} 秒（下限 {floor} 秒），{seen} 个已知答案中答对 {right} 个（标准 {needed} 个）。",
    ),
    "gold_accuracy.none": (
        "There was no known answer in this work.",
        "本次提交中没有已知答案。",
    ),
    "gold_accuracy.passed": (
        "{right} of {seen} known answers right; the bar is {needed}.",
        "{seen} 个已知答案中答对 {right} 个；标准是 {needed} 个。",
    ),
    "gold_accuracy.record": (
        "{right} of {seen} known answers right; the bar is {needed}. Your record {record_right}/{record_seen} counts.",
        "{seen} 个已知答案中答对 {right} 个；标准是 {needed} 个。以您的记录（{record_right}/{record_seen}）为准。",
    ),
    "gold_accuracy.below": (
        "{right} of {seen} known answers right; the bar is {needed}.",
        "{seen} 个已知答案中答对 {right} 个；标准是 {needed} 个。",
    ),
    "gold_accuracy.record_below": (
        "{record_right} of {record_seen} known answers right; even the bound of {upper} % is below the bar, {bar} %.",
        "至今 {record_seen} 个已知答案中答对 {record_right} 个；即使取上限 {upper}%，也低于标准 {bar}%。",
    ),
    "agreement.none": (
        "No task of this work has a sure label yet to compare with.",
        "本次提交的任务尚无可靠的共识标签可供比较。",
    ),
    "agreement.passed": (
        "{agreed} of {compared} answers agree with sure labels of others; the bar is {needed}.",
        "{compared} 个答案中有 {agreed} 个与他人的可靠标签一致；标准是 {needed} 个。",
    ),
    "agreement.outweighed": (
        "{agreed} of {compared} answers agree with sure labels of others; the bar is {needed}. Your record counts.",
        "{compared} 个答案中有 {agreed} 个与他人的可靠标签一致；标准是 {needed} 个。以您的记录为准。",
    ),
    "agreement.below": (
        "{agreed} of {compared} answers agree with sure labels of others; the bar is {needed}.",
        "{compared} 个答案中有 {agreed} 个与他人的可靠标签一致；标准是 {needed} 个。",
    ),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence: its key among `SENTENCES`, and the figures in it."""

    key: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return key, parameters, and the sentence in both languages."""
        english, chinese = SENTENCES[self.key]
        params = dict(self.params)
        return {"key": self.key, "params": params, "en": english.format(**params), "zh-CN": chinese.format(**params)}


def needed(bar: float, seen: int) -> int:
    """Return how many of `seen` must be right to reach a share."""
    return ceil(bar * seen - _SLACK)


def per_cent(share: float) -> float:
    """Return a share in per cent, to one decimal."""
    return round(100 * share, 1)
