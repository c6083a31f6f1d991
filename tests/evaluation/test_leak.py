"""The probe finds a speaker who is there and none who is not."""

import pytest
import torch
from torch import Tensor

from seqvae.evaluation.leak import speaker_leak

DIMENSION = 8


def noise(*shape: int, of: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(of))


def contents(speakers: list[int], offset: float, length: int = 30) -> list[Tensor]:
    """Vectors of which the first number is `offset` times the speaker, the others noise."""
    found = [noise(length + i % 5, DIMENSION, of=i) for i in range(len(speakers))]
    for vectors, speaker in zip(found, speakers, strict=True):
        vectors[:, 0] += offset * speaker
    return found


def test_a_speaker_in_every_vector_is_found() -> None:
    speakers = [0, 1, 2] * 8
    leak = speaker_leak(contents(speakers, 12.0), speakers)
    assert leak is not None
    assert (leak.recordings, leak.frames) == (1.0, 1.0)
    assert leak.chance == pytest.approx(1 / 3)


def test_a_faint_speaker_is_found_in_recordings_before_single_vectors() -> None:
    speakers = [0, 1] * 20
    leak = speaker_leak(contents(speakers, 1.0), speakers)
    assert leak is not None
    assert leak.recordings > 0.95
    # Two normals a deviation apart: the best rule is right in 69 % of cases.
    assert leak.frames == pytest.approx(0.69, abs=0.05)


def test_what_nobody_said_is_guessed() -> None:
    speakers = [0, 1] * 60
    leak = speaker_leak(contents(speakers, 0.0), speakers)
    assert leak is not None
    assert abs(leak.recordings - 0.5) < 0.15
    assert abs(leak.frames - 0.5) < 0.03


def test_recordings_are_never_split_between_fitting_and_trying() -> None:
    # Each recording has its own sound, no speaker has: vectors of known recordings would be easy.
    speakers = [0, 1] * 10
    found = contents(speakers, 0.0)
    for number, vectors in enumerate(found):
        vectors += 20 * noise(DIMENSION, of=1000 + number)
    leak = speaker_leak(found, speakers)
    assert leak is not None
    assert leak.frames < 0.8


def test_a_speaker_with_most_recordings_gets_no_bonus() -> None:
    speakers = [0] * 45 + [1] * 5
    leak = speaker_leak(contents(speakers, 0.0), speakers)
    assert leak is not None
    assert leak.chance == 0.5
    assert leak.recordings < 0.75


@pytest.mark.parametrize("speakers", [[], [0], [0, 0, 0], [0, 1], [0, 0, 1]])
def test_where_there_is_nothing_to_compare(speakers: list[int]) -> None:
    assert speaker_leak(contents(speakers, 1.0), speakers) is None


def test_speakers_with_one_recording_are_left_out() -> None:
    speakers = [7, 3, 3, 9, 9, 3, 9]
    leak = speaker_leak(contents(speakers, 5.0), speakers)
    assert leak is not None
    assert leak.chance == 0.5


def test_many_vectors_are_thinned_out() -> None:
    speakers = [0, 1] * 4
    leak = speaker_leak(contents(speakers, 12.0, length=20_000), speakers)
    assert leak is not None
    assert leak.frames == 1.0
