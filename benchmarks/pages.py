"""Pages of docs/ that gather figures of many benchmarks: their words are in benchmarks/templates, their figures in the result files.

    python -m benchmarks.pages

A template has `[[FILE#KEY/KEY:FORMAT]]`: a value of benchmarks/results/FILE.json, formatted as Python does; `A - B` and `A / B` of two such
places; and `[[LETTER|WHAT]]`: the figure of a row of the ledger of issue LETTER. Writes a page of each template's name to docs/.
"""

import json
import operator
import re
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, ROOT

TEMPLATES = Path(__file__).with_name("templates")
PAGES = ROOT / "docs"
_PLACE = re.compile(r"\[\[(.+?)\]\]")
_OPERATIONS = {" - ": operator.sub, " / ": operator.truediv}


def page(template: str, results: Path = RESULTS) -> str:
    """The template with its figures.

    Raises:
        ValueError: a place names no result, or one without such a key.
    """
    return _PLACE.sub(lambda found: _figure(found[1], results), template)


def _figure(place: str, results: Path) -> str:
    if "#" not in place:
        letter, _, what = place.partition("|")
        rows = _read(results / "bars" / f"{letter}.json", place)
        figures = [row["figure"] for row in rows if row["what"] == what]
        if len(figures) != 1:
            raise ValueError(f"[[{place}]]: {len(figures)} rows of the ledger are called {what!r}")
        return str(figures[0])
    value, _, form = place.rpartition(":")
    for sign, operation in _OPERATIONS.items():
        if sign in value:
            left, right = value.split(sign)
            return format(operation(_value(left, results), _value(right, results)), form)
    return format(_value(value, results), form)


def _value(place: str, results: Path) -> Any:  # noqa: ANN401
    file, _, keys = place.partition("#")
    try:
        return _within(_read(results / f"{file}.json", place), keys)
    except (LookupError, ValueError) as error:
        raise ValueError(f"[[{place}]]: {error}") from None


def _within(value: Any, keys: str) -> Any:  # noqa: ANN401
    # A key may have a slash of its own, such as fcd/test.
    if isinstance(value, dict) and keys in value:
        return value[keys]
    key, more, rest = keys.partition("/")
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        found = value[int(key)]
    elif isinstance(value, dict) and key in value:
        found = value[key]
    else:
        raise ValueError(f"there is no {key!r} there")
    return _within(found, rest) if more else found


def _read(path: Path, place: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"[[{place}]]: there is no {path}") from None


def main() -> None:
    """Write the pages."""
    for template in sorted(TEMPLATES.glob("*.md")):
        path = PAGES / template.name
        path.write_text(page(template.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
