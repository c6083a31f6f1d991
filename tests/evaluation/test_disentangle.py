"""MIG and DCI of codes that are disentangled, rotated, doubled or mute by construction."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from seqvae.evaluation.disentangle import dci, disentanglement, mutual_information_gap
from seqvae.posteriors.gaussian import DiagonalGaussian

SIZES = (4, 3, 2)
VALUES = torch.tensor(list(itertools.product(*map(range, SIZES), range(20))))
FACTORS = VALUES[:, :3]
CODE = FACTORS - FACTORS.double().mean(0)


def posterior(code: Tensor, deviation: float = 0.05) -> DiagonalGaussian:
    """Around a code [N, D]."""
    jitter = 0.01 * torch.randn(code.shape, generator=torch.Generator().manual_seed(0))
    location = code.float() + jitter
    return DiagonalGaussian(location, torch.full_like(location, 2 * math.log(deviation)))


def rotated() -> Tensor:
    """Every dimension holds a part of every factor."""
    turn = torch.linalg.qr(torch.tensor([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]]).double()).Q
    code: Tensor = CODE @ turn
    return code


def test_a_dimension_for_each_factor_has_a_gap_of_one() -> None:
    found = mutual_information_gap(posterior(CODE), FACTORS)
    assert found.mig == pytest.approx(1.0, abs=0.01)
    torch.testing.assert_close(found.entropy, torch.tensor(SIZES).double().log())
    torch.testing.assert_close(
        found.information, found.entropy.diag(), rtol=0.0, atol=0.02, check_dtype=False
    )


def test_further_mute_dimensions_change_nothing() -> None:
    mute = torch.zeros(len(CODE), 3).double()
    located = posterior(torch.cat([CODE, mute], 1))
    # A mute dimension is the prior for every sequence.
    variance = torch.cat([located.log_variance[:, :3], torch.zeros(len(CODE), 3)], 1)
    found = mutual_information_gap(DiagonalGaussian(located.location, variance), FACTORS)
    assert found.mig == pytest.approx(1.0, abs=0.01)
    assert (found.information[3:].abs() < 0.01).all()


def test_a_factor_in_two_dimensions_has_no_gap() -> None:
    found = mutual_information_gap(posterior(torch.cat([CODE, CODE[:, :1]], 1)), FACTORS)
    assert float(found.by_factor[0]) == pytest.approx(0.0, abs=0.02)
    assert found.by_factor[1:].tolist() == pytest.approx([1.0, 1.0], abs=0.02)


def test_a_noisy_dimension_says_what_it_says() -> None:
    # Two values at -1 and 1, a deviation of 1: the information of a binary channel with Gaussian noise.
    binary = torch.arange(2).repeat(2000)[:, None]
    code = DiagonalGaussian((2.0 * binary - 1).float(), torch.zeros(4000, 1))
    found = mutual_information_gap(code, binary, samples=4000)
    assert float(found.information[0, 0]) == pytest.approx(0.3368, abs=0.03)
    assert found.mig == pytest.approx(0.3368 / math.log(2), abs=0.04)


def test_what_is_rotated_is_not_disentangled() -> None:
    assert mutual_information_gap(posterior(rotated()), FACTORS).mig < 0.4


def test_dci_tells_them_apart_as_well() -> None:
    pytest.importorskip("sklearn")
    straight, turned = dci(posterior(CODE).mean, FACTORS), dci(posterior(rotated()).mean, FACTORS)
    assert straight.disentanglement > 0.98 and straight.completeness > 0.98
    assert straight.informativeness == 1.0
    assert turned.informativeness > 0.95
    assert turned.disentanglement < 0.5 and turned.completeness < 0.5
    torch.testing.assert_close(straight.importance.sum(0), torch.ones(3).double())


def test_dci_of_noise_reads_nothing() -> None:
    pytest.importorskip("sklearn")
    code = torch.randn(len(CODE), 3, generator=torch.Generator().manual_seed(1))
    found = dci(code, FACTORS)
    assert found.disentanglement < 0.05
    assert found.informativeness == pytest.approx(sum(1 / n for n in SIZES) / 3, abs=0.08)


def test_rows_weigh_what_they_matter() -> None:
    importance = torch.tensor([[0.9, 0.0], [0.0, 0.9], [0.1, 0.1]]).double()
    # The third row is split evenly, and is a tenth of all.
    assert disentanglement(importance) == pytest.approx(0.9)
    assert disentanglement(torch.eye(3)) == pytest.approx(1.0)
    assert disentanglement(torch.ones(4, 3)) == pytest.approx(0.0, abs=1e-6)
