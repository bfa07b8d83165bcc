"""The words of a report, in each language the same keys: for a reader who buys labels, not for a statistician."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from marketplace.core.papers.language import Language

TAGS: Final = {Language.EN: "en", Language.ZH: "zh-CN"}
WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    language: msgspec.json.decode((Path(__file__).parent / f"words.{tag}.json").read_bytes(), type=dict[str, str])
    for language, tag in TAGS.items()
}


class Voice:
    """Speaks one language: texts by their key, with their figures put in."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._words = WORDS[language]

    def __call__(self, key: str, **figures: str) -> str:
        """Return the text of a key."""
        return self._words[key].format(**figures)

    def name(self, prefix: str, code: str) -> str:
        """Return what people call a code ("gate", "too_fast"); a code without a name stands for itself."""
        return self._words.get(f"{prefix}_{code}", code)
