"""A drawing as SVG that stands in a page: no style attributes (a page's policy forbids them), colours as classes."""

import re
from typing import Final
from xml.etree import ElementTree as ET

from reportlab.graphics import renderSVG
from reportlab.graphics.shapes import Drawing

from marketplace.quality.delivery_report.charts import PALETTE

_NS: Final = "{http://www.w3.org/2000/svg}"
_PERCENT: Final = re.compile(r"rgb\((\d+)%,(\d+)%,(\d+)%\)")
_KEPT: Final = frozenset({"stroke-width", "stroke-dasharray", "fill-opacity", "font-size"})
_NAMES: Final = {
    tuple(round(part * 100) for part in (colour.red, colour.green, colour.blue)): name
    for name, colour in PALETTE.items()
}


def as_svg(drawing: Drawing, alt: str) -> str:
    """Return the drawing as an `svg` element that says `alt` to whoever cannot see it."""
    root = ET.fromstring(renderSVG.drawToString(drawing))  # noqa: S314  # made here, of nothing but text
    box = root.get("viewBox", "")
    for child in list(root):
        if child.tag != f"{_NS}g":
            root.remove(child)
    for element in root.iter():
        _plain(element)
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": alt})
    return ET.tostring(root, encoding="unicode")


def _plain(element: ET.Element) -> None:
    element.tag = element.tag.removeprefix(_NS)
    element.attrib.pop("id", None)
    if not element.get("transform", "-"):
        element.attrib.pop("transform")
    classes = []
    for part in element.attrib.pop("style", "").split(";"):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        found = _PERCENT.match(value)
        if found:
            classes.append(("f-" if name == "fill" else "s-") + _colour(found))
        elif name in _KEPT:
            element.set(name, value.removesuffix("px"))
    if classes:
        element.set("class", " ".join(classes))


def _colour(found: re.Match[str]) -> str:
    """Return the name of a colour of the palette; rounding on the way may have moved it by a hundredth."""
    wanted = tuple(int(part) for part in found.groups())
    return min(_NAMES.items(), key=lambda item: sum(abs(a - b) for a, b in zip(item[0], wanted, strict=True)))[1]
