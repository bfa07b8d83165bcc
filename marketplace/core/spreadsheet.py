"""Texts in CSV files that are made to be opened in a spreadsheet."""

from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def harmless(text: str) -> str:
    """Return the text, with an apostrophe before it if it begins as a formula does (OWASP, CSV Injection)."""
    return f"'{text}" if text.startswith(_FORMULA) else text
