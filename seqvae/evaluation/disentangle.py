"""Disentanglement: whether each dimension of z holds one known factor of the data, and each factor one dimension.

Two measures, as they complete each other: the mutual information gap needs no classifier and sees what posteriors say,
noise included; DCI asks trees what means say.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from seqvae.errors import UserError
from seqvae.posteriors.gaussian import DiagonalGaussian

# 2**22 float64 densities at once: 32 MiB.
_CHUNK_ELEMENTS = 1 << 22
_TREES = 50


@dataclass(frozen=True)
class Gap:
    """The mutual information gap (Chen et al. 2018, arXiv 1802.04942, eq. 6).

    Attributes:
        mig: mean over factors of `by_factor`.
        by_factor: how much more the most informative dimension says of each factor than the next one, as a
            part of the factor's entropy, shape [F]: 1 where one dimension says all and no other anything.
        information: I(z_d; v_f) in nats, shape [D, F].
        entropy: H(v_f) in nats, shape [F].
    """

    mig: float
    by_factor: Tensor
    information: Tensor
    entropy: Tensor


@dataclass(frozen=True)
class Dci:
    """Disentanglement, completeness, informativeness (Eastwood and Williams 2018, "A framework for the
    quantitative evaluation of disentangled representations"): each from 0 to 1, more is better.

    Attributes:
        disentanglement: whether each dimension matters for one factor alone; dimensions weigh what they matter.
        completeness: whether one dimension alone matters for each factor; the mean over factors.
        informativeness: held-out accuracy with which trees read the factors from z; the mean over factors.
        importance: of each dimension for each factor, columns sum to 1, shape [D, F].
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Tensor


def mutual_information_gap(
    posterior: DiagonalGaussian, factors: Tensor, samples: int = 2000, seed: int = 0
) -> Gap:
    """MIG from the posteriors themselves, without binning (appendix B of the paper).

    I(z_d; v) = E log q(z_d | v) - log q(z_d), where q(z_d | v) averages the posteriors of all sequences whose
    factor is v.

    Args:
        posterior: of all N sequences; the data must hold every factor's values in their true frequencies.
        factors: the values of each factor, shape [N, F], int64 from 0.
        samples: sequences of which a z is drawn, spread over all.
        seed: fixes them.
    """
    count, dimension = posterior.location.shape
    chosen = torch.linspace(0, count - 1, min(samples, count)).round().long()
    z = posterior.select(chosen).sample(torch.tensor([seed]))[0].double()
    location, log_variance = posterior.location.double(), posterior.log_variance.double()
    classes = [F.one_hot(column).double() for column in factors.t()]
    found = torch.zeros(dimension, len(classes), dtype=torch.float64)
    rows = max(1, _CHUNK_ELEMENTS // count)
    for d in range(dimension):
        for some, drawn in zip(torch.split(chosen, rows), torch.split(z[:, d], rows), strict=True):
            squared = (drawn[:, None] - location[:, d]).square() * torch.exp(-log_variance[:, d])
            log_q = -0.5 * (squared + log_variance[:, d])
            # Against its greatest: a sum of densities that all underflow would be 0.
            density = (log_q - log_q.amax(1, keepdim=True)).exp()
            whole = density.mean(1).log()
            for f, one_hot in enumerate(classes):
                mean_of = density @ one_hot / one_hot.sum(0).clamp_min(1.0)
                given = mean_of.gather(1, factors[some, f, None])[:, 0].log()
                found[d, f] += (given - whole).sum()
    information = found / len(chosen)
    shares = [one_hot.mean(0) for one_hot in classes]
    entropy = torch.stack([-torch.special.xlogy(share, share).sum() for share in shares])
    best = F.pad(information, (0, 0, 0, 1)).topk(2, 0).values
    by_factor = (best[0] - best[1]) / entropy.clamp_min(1e-12)
    return Gap(float(by_factor.mean()), by_factor, information, entropy)


def dci(codes: Tensor, factors: Tensor, seed: int = 0) -> Dci:
    """DCI with random forests, of which each factor has one; a third of the sequences judges what is read.

    Args:
        codes: posterior means, shape [N, D].
        factors: values of each factor, shape [N, F], int64.
        seed: of the forests and the split.

    Raises:
        UserError: scikit-learn is not installed.
    """
    ensemble = _forests()
    order = np.random.default_rng(seed).permutation(len(codes))
    held, used = np.split(order, [len(order) // 3])
    x, values = codes.double().numpy(), factors.numpy()
    importance, accuracy = [], []
    for f in range(values.shape[1]):
        # All dimensions at each split: a choice among a few forces splits on those that say nothing.
        forest = ensemble.RandomForestClassifier(
            _TREES, max_features=None, min_samples_leaf=3, random_state=seed
        )
        forest.fit(x[used], values[used, f])
        importance.append(cast(NDArray[np.float64], forest.feature_importances_))
        accuracy.append(float(forest.score(x[held], values[held, f])))
    matrix = torch.from_numpy(np.stack(importance, 1))
    return Dci(
        disentanglement(matrix), disentanglement(matrix.t()), float(np.mean(accuracy)), matrix
    )


def disentanglement(importance: Tensor) -> float:
    """1 less the entropy of what each row [D, F] matters for, in units of ln F; rows weigh their sum.

    Of the transpose it is the completeness: columns sum to 1, all factors weigh the same.
    """
    weights = importance.sum(1)
    shares = importance / weights.clamp_min(1e-12)[:, None]
    entropy = -torch.special.xlogy(shares, shares).sum(1) / np.log(max(2, importance.shape[1]))
    return float(((1 - entropy) * weights).sum() / weights.sum().clamp_min(1e-12))


def _forests() -> Any:  # noqa: ANN401 (a module without types)
    try:
        from sklearn import ensemble
    except ModuleNotFoundError:
        raise UserError(
            "DCI needs scikit-learn: pip install 'seqvae[disentangle]'; the mutual information gap needs nothing"
        ) from None
    return ensemble
