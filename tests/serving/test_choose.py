"""Tokens chosen in numpy are those that PyTorch chooses."""

import numpy as np
import pytest
import torch

from seqvae.ops.philox import uniform
from seqvae.serving.choose import NEVER, choose, threshold
from seqvae.serving.options import Options
from seqvae.tasks import sampling

VOCABULARY = 300
WAYS = [
    Options(),
    Options(temperature=1e-7),
    Options(temperature=1.0),
    Options(temperature=0.3),
    Options(temperature=1e-5),
    Options(temperature=2.0, top_k=5),
    Options(temperature=1.0, top_k=1),
    Options(temperature=1.0, top_k=VOCABULARY),
    Options(temperature=1.0, top_p=0.5),
    Options(temperature=1.0, top_p=1e-6),
    Options(temperature=0.7, top_k=20, top_p=0.9),
]


@pytest.mark.parametrize("options", WAYS, ids=range(len(WAYS)))
def test_tokens_are_those_of_pytorch(options: Options) -> None:
    seed, found, wanted = 5, [], []
    for step in range(300):
        generator = np.random.default_rng(step)
        logits = (3 * generator.normal(size=VOCABULARY)).astype(np.float32)
        if step % 3 == 0:
            logits = logits.round()  # ties, at the borders of the filters too
        u = uniform(torch.tensor([seed]), (step + 1,), 1 << 32)[step]
        found.append(choose(logits, options, float(u)))
        scores = sampling.forbid(torch.tensor(logits)[None], torch.zeros(1, 0).long(), 0)
        if options.temperature < sampling.COLDEST:
            wanted.append(int(scores.argmax()))
            continue
        token = sampling.draw(
            scores,
            torch.tensor([seed]),
            torch.tensor([0]),
            step,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
        )
        wanted.append(int(token))
    assert found == wanted
    assert not set(found) & set(NEVER)
    assert len(set(found)) > 50  # of 300 draws


@pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
def test_the_ends_of_the_interval(u: float) -> None:
    logits = np.full(20, -1.0, np.float32)
    logits[[7, 12]] = 3.0
    options = Options(temperature=1.0, top_k=2)
    assert choose(logits, options, u) == (7 if u == 0 else 12)
    # Tokens that never come stand at both ends of what is drawn from.
    logits[15:] = -np.inf
    # The last block of five tokens that may come; where in it, other digits of u say.
    assert choose(logits, Options(temperature=1.0), u) in ([3] if u == 0 else range(10, 15))


def test_logits_are_left_alone() -> None:
    logits = np.zeros(9, np.float32)
    choose(logits, Options(), 0.0)
    assert not logits.any()


def test_ties_at_the_border_stay() -> None:
    mass = np.array([0.4, 0.2, 0.2, 0.2], np.float32)
    scores = np.log(mass)

    def kept(top_k: int, top_p: float) -> int:
        return int((scores >= threshold(scores, mass, top_k, top_p)).sum())

    assert kept(2, 1.0) == kept(0, 0.5) == kept(2, 0.5) == kept(0, 1.0) == kept(4, 1.0) == 4
    assert kept(0, 0.3) == kept(0, 1e-9) == kept(1, 0.9) == kept(1, 1.0) == 1
