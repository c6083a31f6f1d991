import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.errors import UserError
from seqvae.tasks.chunks import Array, Chunking, join, windows


@given(st.integers(1, 5000), st.integers(2, 60), st.integers(0, 400))
def test_windows_cover_everything_and_share_their_overlap(
    total: int, overlap: int, more: int
) -> None:
    longest = 2 * overlap + more
    found = windows(total, longest, overlap)
    assert found[0][0] == 0 and found[-1][1] == total
    assert all(last - first <= longest for first, last in found)
    for (_, last), (first, _) in itertools.pairwise(found):
        assert last - first == overlap
    lengths = [last - first for first, last in found]
    assert max(lengths) - min(lengths) <= 1
    # What two windows share must not reach into a third.
    assert len(found) == 1 or min(lengths) >= 1.5 * overlap


@given(st.integers(1, 3000), st.integers(2, 40), st.integers(0, 200), st.booleans())
def test_equal_windows_join_to_the_whole(total: int, half: int, more: int, frames: bool) -> None:
    overlap = 2 * half
    rng = np.random.default_rng(total)
    whole = rng.normal(size=(total, 3) if frames else total).astype(np.float32)
    cut = windows(total, 2 * overlap + more, overlap)
    pieces = list(join((whole[a:b] for a, b in cut), overlap, half))
    assert all(piece.dtype == np.float32 for piece in pieces)
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


def test_the_edges_of_a_window_are_not_used() -> None:
    whole = np.zeros(400, np.float32)
    left, right = whole[:240].copy(), whole[160:].copy()
    left[-20:], right[:20] = 9.0, -9.0  # an outer quarter of the overlap of 80
    np.testing.assert_array_equal(np.concatenate(list(join([left, right], 80, 10))), whole)


def test_the_seam_lies_where_it_is_quiet() -> None:
    left, right = np.full(240, 1.0, np.float32), np.full(240, -1.0, np.float32)
    left[195:205] = right[35:45] = 0.0  # sample 195 to 205 of the whole
    joined = np.concatenate(list(join([left, right], 80, 10)))
    np.testing.assert_array_equal(joined[:195], 1.0)
    np.testing.assert_array_equal(joined[205:], -1.0)


def test_nothing_gives_nothing() -> None:
    assert list(join([], 10, 5)) == []


def test_many_windows_are_not_held() -> None:
    # A generator of pieces is consumed one at a time: what came out before is not kept.
    alive = 0

    def pieces() -> Iterator[Array]:
        nonlocal alive
        for _ in range(100):
            alive += 1
            yield np.zeros(50, np.float32)

    stream = join(pieces(), 20, 10)
    next(stream)
    assert alive == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fade": 0.0}, "fade is 0 s"),
        ({"fade": 1.0}, "at most half the overlap, 0.75 s"),
        ({"seconds": 2.0}, "seconds is 2; it must be at least twice the overlap, 3 s"),
        ({"seconds": float("inf")}, "finite"),
        ({"seconds": float("nan")}, "seconds is nan"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Chunking(**settings)
