import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.tasks.auroc import auroc


def test_it_is_the_probability_that_an_anomaly_scores_higher() -> None:
    rng = np.random.default_rng(0)
    normal, odd = rng.integers(0, 9, 50).tolist(), rng.integers(3, 12, 30).tolist()
    pairs = [(b > a) + (b == a) / 2 for a in normal for b in odd]
    assert auroc(normal, odd) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    assert auroc(odd, normal) == pytest.approx(1 - auroc(normal, odd), abs=1e-12)


def test_the_ends() -> None:
    assert auroc([1, 2], [3]) == 1.0
    assert auroc([3], [1, 2]) == 0.0
    assert auroc([1, 1], [1]) == 0.5
    assert auroc([1.0], [float("inf")]) == 1.0


def test_what_has_no_area_is_refused() -> None:
    with pytest.raises(UserError, match="0 normal and 1 anomalous"):
        auroc([], [1.0])
    with pytest.raises(UserError, match="1 scores are not numbers"):
        auroc([float("nan")], [1.0])
