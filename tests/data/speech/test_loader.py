"""Crops are what they say, spread evenly, and the same after a resume."""

import json

import numpy as np
import pytest

from seqvae.data.speech.loader import CropLoader
from seqvae.data.speech.pitch import pitch_contour
from seqvae.errors import UserError
from tests.data.speech.memory_store import MemoryStore

FRAMES = 31


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore(2.0, 0.2, 3.0)


def loader(store: MemoryStore, **settings: object) -> CropLoader:
    chosen = {"frames": FRAMES, "batch": 8, "seed": 3, **settings}
    return CropLoader(store, **chosen)  # type: ignore[arg-type]


def test_crops_are_parts_of_the_recordings(store: MemoryStore) -> None:
    crops = loader(store, audio=True)
    seen = set()
    for _ in range(10):
        raw = crops.next_batch()
        assert raw.audio is not None
        for row, (index, start) in enumerate(zip(raw.indices, raw.offsets, strict=True)):
            size = int(raw.lengths[row])
            assert size == min(FRAMES, store.frames[index])
            np.testing.assert_array_equal(raw.values[row, :size, 0], np.arange(start, start + size))
            assert (raw.values[row, :size, 1] == index).all()
            contour = pitch_contour(store.pitch(int(index)))
            np.testing.assert_array_equal(raw.pitch[row, :size], contour[start : start + size])
            samples = store.audio(int(index), int(start), size)
            np.testing.assert_array_equal(raw.audio[row, : len(samples)], samples)
            for padded in (raw.values[row, size:], raw.pitch[row, size:]):
                assert not padded.any()
            assert not raw.audio[row, len(samples) :].any()
            assert raw.speakers[row] == index % 2
            seen.add(int(index))
    assert seen == {0, 1, 2}


def test_every_frame_of_a_recording_is_reached_and_longer_ones_more_often(
    store: MemoryStore,
) -> None:
    crops = loader(store, batch=64)
    drawn = [crops.next_batch() for _ in range(60)]
    counts = np.bincount(np.concatenate([raw.indices for raw in drawn]))
    np.testing.assert_allclose(counts / counts.sum(), store.frames / store.frames.sum(), atol=0.03)
    offsets = np.concatenate([raw.offsets[raw.indices == 0] for raw in drawn])
    assert set(offsets) == set(range(store.frames[0] - FRAMES + 1))


def test_a_resumed_loader_goes_on_as_if_never_stopped(store: MemoryStore) -> None:
    whole, first, second = loader(store), loader(store), loader(store)
    for _ in range(5):
        whole.next_batch()
        first.next_batch()
    second.load_state(json.loads(json.dumps(first.state())))
    for _ in range(5):
        a, b = whole.next_batch(), second.next_batch()
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_array_equal(a.indices, b.indices)


def test_a_batch_follows_from_seed_rank_and_number(store: MemoryStore) -> None:
    def batch(step: int, **settings: object) -> list[int]:
        offsets = loader(store, batch=32, **settings).draw(step).offsets
        return [int(offset) for offset in offsets]

    assert batch(4) == batch(4)
    others = [batch(5), batch(4, seed=4), batch(4, rank=1, world=2)]
    assert all(other != batch(4) for other in others)
    assert batch(4, world=2) == batch(4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 4}, "seed was 3 and is now 4"),
        ({"batch": 4}, "batch was 8 and is now 4"),
        ({"frames": 20}, "frames was 31 and is now 20"),
        ({"world": 2}, "world was 1 and is now 2"),
    ],
)
def test_a_position_of_other_settings_is_refused(
    change: dict[str, int], words: str, store: MemoryStore
) -> None:
    with pytest.raises(UserError, match=words):
        loader(store, **change).load_state(loader(store).state())


def test_nothing_to_load() -> None:
    with pytest.raises(UserError, match="the split is empty"):
        loader(MemoryStore())


def test_an_epoch_is_as_long_as_the_recordings(store: MemoryStore) -> None:
    total = int(store.frames.sum())
    assert loader(store, batch=2).steps_per_epoch == round(total / (2 * FRAMES))
    assert loader(store, batch=1000).steps_per_epoch == 1


def test_a_tempo_makes_crops_faster_and_slower_and_keeps_their_pitch(store: MemoryStore) -> None:
    crops = loader(store, tempo=0.25)
    found = [crops.next_batch() for _ in range(20)]
    factors = np.concatenate([raw.spans / raw.lengths for raw in found])
    assert 0.75 - 0.04 <= factors.min() < 0.85 and 1.15 < factors.max() <= 1.25 + 0.04
    for raw in found:
        for row, (index, start) in enumerate(zip(raw.indices, raw.offsets, strict=True)):
            size, span = int(raw.lengths[row]), int(raw.spans[row])
            assert start + span <= store.frames[index] and 1 <= size <= FRAMES
            wanted = np.linspace(start, start + span - 1, size)
            np.testing.assert_allclose(raw.values[row, :size, 0], wanted, rtol=1e-5)
            contour = pitch_contour(store.pitch(int(index)))[start : start + span]
            assert set(raw.pitch[row, :size, 2]) <= set(contour[:, 2])
            assert not raw.values[row, size:].any()
    with pytest.raises(ValueError, match="tempo"):
        loader(store, tempo=0.1, audio=True)
