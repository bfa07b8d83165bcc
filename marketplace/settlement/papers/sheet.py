"""A paper as CSV: UTF-8 with a BOM, so that spreadsheets read Chinese, one line a row, amounts with a decimal point.

A text that begins like a formula gets an apostrophe before it: titles are strangers' words, and these files are made to
be opened in a spreadsheet (an export of data is not, and keeps its texts as they are).
"""

import csv
import io
from typing import Final

from marketplace.core.spreadsheet import harmless
from marketplace.settlement.papers.paper import Amount, Cell, Paper

MEDIA_TYPE: Final = "text/csv; charset=utf-8"
_BOM: Final = b"\xef\xbb\xbf"


def draw_csv(paper: Paper) -> bytes:
    """Return the whole paper: facts, an empty line, the table, the totals."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([_cell(paper.title)])
    writer.writerows([[_cell(name), _cell(value)] for name, value in paper.facts])
    writer.writerow([])
    writer.writerow([_cell(column.title) for column in paper.columns])
    writer.writerows([[_cell(cell) for cell in row] for row in paper.rows])
    writer.writerow([])
    writer.writerows([[_cell(name), _cell(amount)] for name, amount in paper.totals])
    return _BOM + buffer.getvalue().encode()


def _cell(cell: Cell) -> str | int:
    if isinstance(cell, Amount):
        return cell.plain()
    return harmless(cell) if isinstance(cell, str) else cell
