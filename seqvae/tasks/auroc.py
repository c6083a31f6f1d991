"""How well a score tells anomalies from the normal."""

from collections.abc import Sequence

import numpy as np

from seqvae.errors import UserError


def auroc(normal: Sequence[float], anomalous: Sequence[float]) -> float:
    """Area under the ROC curve: P(an anomaly scores higher than a normal one), ties counted half.

    By ranks (Mann and Whitney 1947): U / (n m), exact with ties.

    Args:
        normal: scores of what is normal.
        anomalous: scores of what is not; higher shall mean less normal.

    Raises:
        UserError: one of the two is empty, or a score is not a number.

    Example:
        >>> auroc([1.0, 2.0, 3.0], [3.0, 4.0])
        0.9166666666666666
    """
    n, m = len(normal), len(anomalous)
    if not n or not m:
        raise UserError(f"auroc: {n} normal and {m} anomalous scores; both must be 1 or more")
    scores = np.concatenate([np.asarray(normal, float), np.asarray(anomalous, float)])
    if np.isnan(scores).any():
        raise UserError(f"auroc: {int(np.isnan(scores).sum())} scores are not numbers")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    # Equal scores share the mean of the ranks (from 1) they would fill.
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[n:].sum() - m * (m + 1) / 2) / (n * m))
