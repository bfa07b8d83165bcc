"""Real terms in nine languages, from the CLDR data that Babel carries: territories, languages, currencies.

A pair says how a Chinese term is called in another language. Some pairs are spoiled with the name of another term, so
that the truth about every pair is known.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from babel import Locale

SOURCE: Final = "zh"
# BCP 47 tag → what Chinese calls the language
TARGETS: Final = {
    "vi": "越南语", "th": "泰语", "lo": "老挝语", "km": "高棉语", "my": "缅甸语", "ms": "马来语", "id": "印尼语",
    "fil": "菲律宾语",
}  # fmt: skip
KINDS: Final = {"territories": "国家和地区", "languages": "语言", "currencies": "货币"}
SPOILED_SHARE: Final = 0.35


@dataclass(frozen=True, slots=True)
class Pair:
    """A Chinese term and what is said to be its name in `language`; `correct` is the known truth."""

    id: str
    kind: str
    source: str
    language: str
    translation: str
    correct: bool


def _names(language: str, kind: str) -> dict[str, str]:
    """Return the names of a kind in a language by code, without those that are the code itself or stand twice."""
    found: dict[str, str] = dict(getattr(Locale.parse(language), kind))
    counts: dict[str, int] = {}
    for name in found.values():
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    return {code: name for code, name in found.items() if name != code and counts[name.casefold()] == 1}


def _pairs_of(language: str, kind: str, dice: random.Random) -> list[Pair]:
    sources, names = _names(SOURCE, kind), _names(language, kind)
    codes = sorted(sources.keys() & names.keys())
    pairs = []
    for code in codes:
        spoiled = dice.random() < SPOILED_SHARE
        other = dice.choice([another for another in codes if another != code])
        name = names[other] if spoiled else names[code]
        pairs.append(Pair(f"{language}:{kind}:{code}", KINDS[kind], sources[code], language, name, not spoiled))
    return pairs


def term_pairs(count: int, seed: int, languages: Iterable[str] = tuple(TARGETS)) -> list[Pair]:
    """Return `count` pairs, as many of each language as of the others, the same ones for the same seed.

    Raises:
        ValueError: CLDR has not so many.
    """
    dice = random.Random(seed)  # noqa: S311  # a sample that can be drawn again
    by_language = []
    for language in languages:
        pairs = [pair for kind in KINDS for pair in _pairs_of(language, kind, dice)]
        dice.shuffle(pairs)
        by_language.append(pairs)
    rounds = [pair for some in zip(*by_language, strict=False) for pair in some]
    if len(rounds) < count:
        raise ValueError(f"CLDR gives {len(rounds)} pairs, not {count}")
    return rounds[:count]
