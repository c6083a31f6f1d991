"""Pages say what the result files say."""

import json
from pathlib import Path

import pytest

from benchmarks import pages


@pytest.mark.parametrize("template", sorted(pages.TEMPLATES.glob("*.md")), ids=lambda p: p.stem)
def test_a_page_is_up_to_date(template: Path) -> None:
    written = pages.page(template.read_text(encoding="utf-8"))
    there = (pages.PAGES / template.name).read_text(encoding="utf-8")
    assert there == written, "run python -m benchmarks.pages"
    assert "[[" not in written


def test_places(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "E.json").write_text(json.dumps([{"what": "x", "figure": "3 of 4"}]))
    (tmp_path / "a.json").write_text(
        json.dumps({"kl": 8.25, "fcd/test": 1, "rows": [{"nll 1": 2.0}]})
    )
    template = "KL [[a#kl:.1f]], [[a#rows/0/nll 1:.0f]], [[a#kl - a#rows/0/nll 1:.2f]], [[a#kl / a#fcd/test:.0%]]; [[E|x]]."
    assert pages.page(template, tmp_path) == "KL 8.2, 2, 6.25, 825%; 3 of 4."
    for wrong, said in {
        "[[b#kl:.1f]]": "there is no",
        "[[a#mi:.1f]]": "there is no 'mi' there",
        "[[a#rows/1:.1f]]": "there is no '1' there",
        "[[E|y]]": "0 rows",
    }.items():
        with pytest.raises(ValueError, match=said):
            pages.page(wrong, tmp_path)
