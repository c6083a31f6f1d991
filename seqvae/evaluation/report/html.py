"""Pieces of HTML; whatever is put into one is escaped here and nowhere else."""

import html
import unicodedata
from collections.abc import Iterable, Sequence


class Html(str):
    """Markup that is safe to put into a page; a plain `str` is text and gets escaped."""

    __slots__ = ()


def safe(value: object) -> Html:
    """Markup of any value: `Html` as it is, anything else as escaped text."""
    if isinstance(value, Html):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return Html(html.escape("".join(_visible(character) for character in text)))


def _visible(character: str) -> str:
    # Control characters are not allowed in HTML, NUL least of all.
    if unicodedata.category(character) == "Cc" and character not in "\t\n":
        return "\N{REPLACEMENT CHARACTER}"
    return character


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after the other."""
    return Html(between.join(safe(part) for part in parts))


def element(name: str, *content: object, **attributes: object) -> Html:
    """`<name attribute="...">content</name>`; `class_` stands for `class`, `_` for `-`, None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{safe(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{join(content)}</{name}>")


def text(value: object) -> Html:
    """A user's sentence: kept apart from what surrounds it, whatever way it is written."""
    return element("span", value, class_="text", dir="auto")


def table(
    caption: object,
    heads: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[int] = (),
    stack: bool = False,
) -> Html:
    """A table with a caption; the first cell of each row is its head.

    Args:
        caption: what it shows.
        heads: of the columns.
        rows: cells.
        numbers: columns of figures, aligned right.
        stack: on a phone, show each row as a block instead of scrolling sideways.
    """

    def cell(column: int, value: object) -> Html:
        kind = "figure" if column in numbers else None
        if column == 0:
            return element("th", value, scope="row", class_=kind)
        return element("td", value, class_=kind, data_head=heads[column] if stack else None)

    head = join(
        element("th", name, scope="col", class_="figure" if i in numbers else None)
        for i, name in enumerate(heads)
    )
    body = join(element("tr", *(cell(i, v) for i, v in enumerate(row))) for row in rows)
    content = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head)),
        element("tbody", body),
        class_="stack" if stack else None,
    )
    return element("div", content, class_="wide", tabindex="0", role="region", aria_label=caption)


def section(name: str, title: str, *content: object) -> Html:
    """A part of the page that can be linked to."""
    head = element("h2", title, id=f"{name}-title")
    return element("section", head, *content, id=name, aria_labelledby=f"{name}-title")


def figure(title: str, drawing: Html, explanation: object, legend: object = "") -> Html:
    """A drawing with its title, its legend and how to read it."""
    caption = element("figcaption", element("p", explanation))
    return element("figure", element("h3", title), legend, drawing, caption)


def swatches(entries: Iterable[tuple[str, str, object]]) -> Html:
    """A legend: (sign, colour variable, words) each; the sign tells them apart without colour."""
    items = (
        element(
            "li",
            element("span", sign, style=f"color:var(--{colour})", aria_hidden="true"),
            " ",
            words,
        )
        for sign, colour, words in entries
    )
    return element("ul", *items, class_="legend")


def paragraphs(*words: object) -> Html:
    """One paragraph each."""
    return join(element("p", part) for part in words if part)
