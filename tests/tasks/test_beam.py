import itertools
import math

import pytest
import torch
from torch import Tensor

from seqvae.data.text import EOS
from seqvae.model import SequenceVAE
from seqvae.ops import normal
from seqvae.tasks.beam import penalty
from seqvae.tasks.decode import Decoding, generate
from seqvae.tasks.texts import batch_of
from tests.tiny import LATENT, tiny_model

VOCABULARY, LIMIT = 8, 4  # three words: 40 complete texts, all of which a beam of 128 can hold
WORDS = range(5, VOCABULARY)


def best(model: SequenceVAE, z: Tensor, alpha: float) -> tuple[list[int], float]:
    """The complete text with the highest score, found by trying every one."""
    texts = [
        list(words) for size in range(LIMIT) for words in itertools.product(WORDS, repeat=size)
    ]
    with torch.inference_mode():
        batch = batch_of(texts, torch.device("cpu"))
        log_prob = -model.reconstruction(batch, z.expand(len(texts), -1)[None])[0]
    scores = log_prob / torch.tensor([((5 + len(t) + 1) / 6) ** alpha for t in texts])
    return texts[int(scores.argmax())], float(log_prob[scores.argmax()])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 3.0, 8.0])
@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_a_wide_beam_finds_the_best_of_all_texts(kind: str, alpha: float) -> None:
    model = tiny_model(kind, vocabulary=VOCABULARY)
    z = normal(torch.tensor([1]), (40, LATENT))
    decoding = Decoding(strategy="beam", beam_size=128, length_penalty=alpha, max_length=LIMIT)
    written = generate(model, z, decoding)
    assert written.complete.all()
    for row in range(len(z)):
        ids, log_prob = best(model, z[row], alpha)
        assert written.ids[row] == ids
        assert float(written.log_prob[row]) == pytest.approx(log_prob, abs=1e-4)


def test_the_penalty_decides_between_short_and_long() -> None:
    model = tiny_model(vocabulary=VOCABULARY)
    z = normal(torch.tensor([1]), (12, LATENT))
    lengths = [
        sum(
            len(ids)
            for ids in generate(
                model,
                z,
                Decoding(strategy="beam", beam_size=128, length_penalty=a, max_length=LIMIT),
            ).ids
        )
        for a in (0.0, 1.0, 5.0)
    ]
    assert lengths[0] <= lengths[1] <= lengths[2] and lengths[0] < lengths[2]


def test_the_penalty_is_that_of_the_paper() -> None:
    assert float(penalty(1, 0.7)) == pytest.approx(1.0)
    assert float(penalty(13, 0.5)) == pytest.approx(math.sqrt(18 / 6))
    assert float(penalty(13, 0.0)) == 1.0


@pytest.mark.parametrize("beam", [2, 4])
def test_a_narrow_beam_is_no_better_than_the_best(beam: int) -> None:
    model = tiny_model(vocabulary=VOCABULARY)
    z = normal(torch.tensor([2]), (12, LATENT))
    decoding = Decoding(strategy="beam", beam_size=beam, length_penalty=0.0, max_length=LIMIT)
    written = generate(model, z, decoding)
    exact = torch.tensor([best(model, row, 0.0)[1] for row in z])
    assert (written.log_prob[written.complete] <= exact[written.complete] + 1e-4).all()


def test_without_an_end_the_most_probable_beginning_is_returned() -> None:
    model = tiny_model("gru", vocabulary=VOCABULARY)
    with torch.no_grad():
        # The end token scores as if it pointed away from every state.
        model.likelihood.get_parameter("embedding.weight")[EOS] = 0.0
    z = normal(torch.tensor([3]), (30, LATENT))
    written = generate(model, z, Decoding(strategy="beam", beam_size=2, max_length=2))
    open_rows = [i for i, complete in enumerate(written.complete.tolist()) if not complete]
    assert open_rows, "every row ended"
    for row in open_rows:
        batch = batch_of([written.ids[row]], torch.device("cpu"), ends=False)
        with torch.inference_mode():
            nll = model.reconstruction(batch, z[None, row : row + 1])[0, 0]
        assert len(written.ids[row]) == 2
        assert float(written.log_prob[row]) == pytest.approx(-float(nll), abs=1e-4)
