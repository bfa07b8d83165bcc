"""Texts as tokens: words where a script has spaces, written characters (with their marks) where it has none.

A token is compared by its key, which has no case, width variant or punctuation, and written by its surface, which has
them all; so workers who differ in commas alone agree on the words, and the commas are voted on by themselves.
"""

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

_LAST_MARK: Final = 0x20000
"""Combining marks that make up words lie below; those above (variation selectors, tags) carry no sound."""


def _marks() -> str:
    found = [
        code for code in range(0x300, min(_LAST_MARK, sys.maxunicode)) if unicodedata.category(chr(code))[0] == "M"
    ]
    ranges: list[list[int]] = []
    for code in found:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


_MARK: Final = _marks()
_NO_SPACES: Final = (
    "\\u0e00-\\u0e4f"  # Thai without its digits
    "\\u0e80-\\u0ecf"  # Lao
    "\\u0f40-\\u0fbc"  # Tibetan
    "\\u1000-\\u103f\\u1050-\\u109f"  # Burmese
    "\\u1780-\\u17d3"  # Khmer
    "\\u3005-\\u3007\\u3041-\\u30ff\\u31f0-\\u31ff"  # kana
    "\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\U00020000-\\U0003ffff"  # Han
)
_LEADING: Final = "\\u0e40-\\u0e44\\u0ec0-\\u0ec4"
"""Thai and Lao vowels that are written before their consonant and belong to it."""
_TOKEN: Final = re.compile(
    rf"[{_LEADING}]*[{_NO_SPACES}][{_MARK}\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3]*"
    rf"|(?:(?![{_NO_SPACES}])(?:[^\W_]|[{_MARK}'’`]))+"
)
_ALONE: Final = re.compile(rf"[{_NO_SPACES}]")
_APOSTROPHES: Final = str.maketrans({"’": "'", "`": "'", "\u02bc": "'", "\u200b": None, "\u200c": None, "\u200d": None})


class Token(NamedTuple):
    """A piece of a text: what it is compared by, how it is written, and whether it follows without a space."""

    key: str
    surface: str
    glued: bool


def read_text(text: str) -> list[Token]:
    """Return the tokens of a text; punctuation belongs to the token it follows, or to the first one it precedes.

    A text without any word (figures of speech aside: "…", an emoji) is made of its chunks between spaces.
    """
    found: list[Token] = []
    before = ""
    for chunk in unicodedata.normalize("NFC", text).split():
        pieces = _pieces(chunk)
        if not pieces and found:
            last = found[-1]
            found[-1] = last._replace(surface=f"{last.surface} {chunk}")
        elif not pieces:
            before += f"{chunk} "
        else:
            pieces[0] = pieces[0]._replace(surface=before + pieces[0].surface)
            found += pieces
            before = ""
    return found or [Token(chunk, chunk, glued=False) for chunk in before.split()]


def _pieces(chunk: str) -> list[Token]:
    """Return the tokens of a chunk without spaces."""
    starts = [(match.start(), key) for match in _TOKEN.finditer(chunk) if (key := word_key(match.group()))]
    if not starts:
        return []
    edges = [0, *(start for start, _ in starts[1:]), len(chunk)]
    return [
        Token(key, chunk[edges[index] : edges[index + 1]], glued=index > 0) for index, (_, key) in enumerate(starts)
    ]


def word_key(word: str) -> str:
    """Return what a word is compared by: NFKC, no case, one kind of apostrophe and none at the ends."""
    return unicodedata.normalize("NFKC", word.translate(_APOSTROPHES)).casefold().strip("'")


def text_keys(text: str) -> list[str]:
    """Return the keys of a text's tokens."""
    return [token.key for token in read_text(text)]


Glued = Mapping[tuple[str, str], int]
"""How much oftener two keys follow each other without a space than with one (below 0: with one)."""


def gluing(texts: Iterable[Sequence[Token]]) -> Glued:
    """Return how texts write neighbours of which one alone is of a script without spaces: 天0 or 天 0."""
    found: Counter[tuple[str, str]] = Counter()
    for tokens in texts:
        for one, other in pairwise(tokens):
            if bool(_ALONE.search(one.key)) != bool(_ALONE.search(other.key)):
                found[one.key, other.key] += 1 if other.glued else -1
    return found


def join_keys(keys: Sequence[str], glued: Glued) -> str:
    """Return keys as a text: spaces between words, none between characters of a script without spaces, and between
    the two as the texts have it.
    """
    parts: list[str] = []
    for index, key in enumerate(keys):
        before = keys[index - 1]
        if index and not (_ALONE.search(key) and _ALONE.search(before)) and glued.get((before, key), 0) <= 0:
            parts.append(" ")
        parts.append(key)
    return "".join(parts)


def join_surfaces(tokens: Iterable[Token]) -> str:
    """Return tokens as they are written."""
    return "".join(token.surface if token.glued else f" {token.surface}" for token in tokens).strip()


def is_unspaced(text: str) -> bool:
    """Return whether most of a text's tokens are of a script without spaces (Thai, Lao, Khmer, Burmese, Han, kana)."""
    keys = text_keys(text)
    return 2 * sum(bool(_ALONE.match(key)) for key in keys) > len(keys)
