"""What is converted into what."""

import numpy as np
import pytest

from seqvae.evaluation.speech_plan import Conversion, plan


class Split:
    """Recordings as (speaker, text, file)."""

    def __init__(self, *rows: tuple[int, str, str]) -> None:
        self.rows = rows
        self.speaker = np.array([row[0] for row in rows])

    def text(self, index: int) -> str:
        return self.rows[index][1]

    def name(self, index: int) -> str:
        return self.rows[index][2]


def test_sentences_that_both_say_come_first_and_have_a_reference() -> None:
    split = Split((0, "Alone.", "x"), (0, "Both say it.", "y"), (1, "both say IT", "z"))
    assert plan(split, [0, 1], limit=2, pairs=9) == [
        Conversion(1, 0, 1, 2),
        Conversion(0, 0, 1, None),
        Conversion(2, 1, 0, 1),
    ]
    assert plan(split, [1], limit=1, pairs=9) == [Conversion(1, 0, 1, 2)]


def test_without_texts_the_file_names_tell() -> None:
    split = Split((0, "", "a/s1.wav"), (0, "", "a/s2.wav"), (1, "", "b/s2.flac"))
    assert plan(split, [1], limit=1, pairs=1) == [Conversion(1, 0, 1, 2)]


@pytest.mark.parametrize(("speakers", "pairs"), [(2, 1), (5, 5), (5, 10), (5, 13), (30, 12)])
def test_every_speaker_gets_as_many_pairs(speakers: int, pairs: int) -> None:
    split = Split(*((s, f"said by {s} {i}", "") for s in range(speakers) for i in range(4)))
    found = plan(split, range(speakers), limit=3, pairs=pairs)
    asked = {(c.source, c.target) for c in found}
    assert len(asked) == pairs and len(found) == 3 * pairs
    assert all(a != b for a, b in asked)
    counts = [sum(a == s for a, _ in asked) for s in range(speakers)]
    assert max(counts) - min(counts) <= 1


def test_recordings_are_spread_over_the_split() -> None:
    split = Split(*((i % 2, f"number {i}", "") for i in range(100)))
    found = [c.recording for c in plan(split, [1], limit=5, pairs=1)]
    assert found[0] == 0 and found[-1] == 98 and len(set(found)) == 5


def test_a_target_without_recordings_here_is_fine() -> None:
    assert plan(Split((0, "a", "")), [7], limit=4, pairs=4) == [Conversion(0, 0, 7, None)]
