"""Rows of sound: what goes into one call of a speech graph, and how many go together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seqvae.serving.session import Array, Graphs

TOGETHER = 60.0
"""Seconds of sound, of all rows, that one call computes: a graph takes about 20 MB for each."""


@dataclass(frozen=True, eq=False)
class SoundRow:
    """One sound for a graph.

    Attributes:
        audio: float32 [N] at the bundle's rate.
        options: further inputs of the graph, each without its axis of rows.
        part: name of the graph.
    """

    audio: Array
    options: Mapping[str, Array] = field(default_factory=dict)
    part: str = "model"

    @property
    def kind(self) -> tuple[object, ...]:
        """What rows of one call have in common: graph, names and shapes."""
        shapes = sorted((name, value.shape) for name, value in self.options.items())
        return (self.part, len(self.audio), *shapes)


Outputs = dict[str, Array]
"""What a graph made of one row, by name, without the axis of rows."""


def run_rows(graphs: Graphs, rows: Sequence[SoundRow], rate: int) -> list[Outputs]:
    """The outputs of every row; rows of one kind are computed side by side.

    Args:
        graphs: of a speech bundle.
        rows: any number.
        rate: of their sound, Hz.
    """
    found: list[Outputs] = [{}] * len(rows)
    for group in _groups(rows, round(TOGETHER * rate)):
        first = rows[group[0]]
        feeds = {"audio": np.stack([rows[i].audio for i in group])}
        for name in first.options:
            feeds[name] = np.stack([rows[i].options[name] for i in group])
        outputs = graphs.run(first.part, feeds)
        for number, i in enumerate(group):
            found[i] = {name: values[number] for name, values in outputs.items()}
    return found


def _groups(rows: Sequence[SoundRow], most: int) -> Iterator[list[int]]:
    """Indices of rows of one kind, up to `most` samples together."""
    kinds: dict[tuple[object, ...], list[int]] = {}
    for number, row in enumerate(rows):
        kinds.setdefault(row.kind, []).append(number)
    for same in kinds.values():
        size = max(1, most // max(len(rows[same[0]].audio), 1))
        for begin in range(0, len(same), size):
            yield same[begin : begin + size]
