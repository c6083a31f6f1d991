"""MOSES' table as published, to print beside one's own figures."""

import math
from collections.abc import Mapping

COLUMNS = {
    "valid": "valid",
    "unique@1000": "unique@1k",
    "unique@10000": "unique@10k",
    "fcd/test": "FCD test",
    "fcd/test_sf": "FCD testSF",
    "snn/test": "SNN test",
    "snn/test_sf": "SNN testSF",
    "frag/test": "Frag test",
    "frag/test_sf": "Frag testSF",
    "scaf/test": "Scaf test",
    "scaf/test_sf": "Scaf testSF",
    "internal_diversity_1": "IntDiv",
    "internal_diversity_2": "IntDiv2",
    "filters": "filters",
    "novelty": "novelty",
}
"""Names of figures to headings."""

# github.com/molecularsets/moses, README: means of three seeds, 30,000 samples.
_ROWS = {
    "training set": "1 1 1 0.008 0.4755 0.6419 0.5859 1 0.9986 0.9907 0 0.8567 0.8508 1 1",
    "VAE": "0.9767 1 0.9984 0.099 0.567 0.6257 0.5783 0.9994 0.9984 0.9386 0.0588 0.8558 0.8498 0.997 0.6949",
    "CharRNN": "0.9748 1 0.9994 0.0732 0.5204 0.6015 0.5649 0.9998 0.9983 0.9242 0.1101 0.8562 0.8503 0.9943 0.8419",
    "AAE": "0.9368 1 0.9973 0.5555 1.0572 0.6081 0.5677 0.991 0.9905 0.9022 0.0789 0.8557 0.8499 0.996 0.7931",
    "JTN-VAE": "1 1 0.9996 0.3954 0.9382 0.5477 0.5194 0.9965 0.9947 0.8964 0.1009 0.8551 0.8493 0.976 0.9143",
    "LatentGAN": "0.8966 1 0.9968 0.2968 0.8281 0.5371 0.5132 0.9986 0.9972 0.8867 0.1072 0.8565 0.8505 0.9735 0.9498",
}
PUBLISHED = {
    f"{name} (published)": dict(zip(COLUMNS, map(float, row.split()), strict=True))
    for name, row in _ROWS.items()
}
"""Rows by name, figures by name."""


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Own rows above the published ones, as Markdown; what was not measured stays empty."""
    whole = {**rows, **PUBLISHED}
    lines = ["| | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name, row in whole.items():
        cells = [_shown(row.get(column, math.nan)) for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}".rstrip("0").rstrip(".")
