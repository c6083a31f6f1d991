import numpy as np
import pytest
import torch

from seqvae.config import Experiment, Model
from seqvae.data.text import Tokenizer
from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding
from seqvae.tasks.text_model import TextModel
from seqvae.tasks.texts import groups
from tests.tiny import LATENT, MAX_LENGTH, tiny_model

TEXTS = ["the old fox sat", "", "日本語", "a 🦊 sat", "the red cat sat on", "\x00\ud800", " "]


def test_encoding_keeps_the_order_and_company_does_not_matter(text_model: TextModel) -> None:
    together = text_model.encode(TEXTS).mean
    alone = torch.cat([text_model.encode([text]).mean for text in TEXTS])
    assert together.shape == (len(TEXTS), LATENT)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    many = text_model.encode(TEXTS * 300).mean
    torch.testing.assert_close(many, together.repeat(300, 1), rtol=1e-4, atol=1e-4)


def test_the_mean_is_that_of_the_model(text_model: TextModel) -> None:
    from seqvae.tasks.texts import batch_of

    batch = batch_of(text_model.read(TEXTS), torch.device("cpu"))
    with torch.no_grad():
        mean = text_model.model.encode(batch).mean.numpy()
    found = text_model.latent_mean(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-4)


def test_no_texts_give_no_answers(text_model: TextModel) -> None:
    assert text_model.latent_mean([]).shape == (0, LATENT)
    assert text_model.reconstruct([]) == text_model.denoise([]) == text_model.sample(0) == []
    assert text_model.score([]) == [] and text_model.paraphrase([]) == []


@pytest.mark.parametrize("text", TEXTS)
def test_any_string_works_in_every_task(text_model: TextModel, text: str) -> None:
    assert len(text_model.reconstruct([text])) == 1
    assert len(text_model.interpolate(text, "the cat", 3)) == 3
    assert text_model.paraphrase([text], n=2)[0].text == text
    assert len(text_model.denoise([text])) == 1
    assert text_model.score([text], samples=2)[0].text == text


def test_vectors_from_numpy_are_decoded(text_model: TextModel) -> None:
    texts = text_model.decode(text_model.latent_mean(TEXTS))
    assert texts == text_model.reconstruct(TEXTS)


@pytest.mark.parametrize("task", ["encode", "reconstruct", "denoise", "score", "paraphrase"])
def test_a_text_too_long_is_a_clear_error(text_model: TextModel, task: str) -> None:
    limit = MAX_LENGTH - 2
    with pytest.raises(UserError, match=rf"item 1 .* pieces .* at most {limit}.*crop=True"):
        getattr(text_model, task)(["the cat", "cat " * 100])


def test_cropped_a_long_text_reads_as_its_beginning(
    text_model: TextModel, tokenizer: Tokenizer
) -> None:
    cropping = TextModel(text_model.model, tokenizer, crop=True)
    long = "cat " * 100
    assert cropping.read([long]) == [tokenizer.encode(long)[: MAX_LENGTH - 2]]
    assert len(cropping.reconstruct([long])) == len(cropping.score([long], samples=2)) == 1


def test_the_longest_text_of_the_run_is_what_counts(
    text_model: TextModel, tokenizer: Tokenizer
) -> None:
    info = {"experiment": Experiment(model=Model(max_length=10))}
    assert TextModel(text_model.model, tokenizer, info=info).max_pieces == 8
    assert TextModel(tiny_model("gru"), tokenizer).max_pieces == 62


def test_what_is_not_a_list_of_strings_is_a_clear_error(text_model: TextModel) -> None:
    with pytest.raises(UserError, match="one string"):
        text_model.encode("the cat")
    with pytest.raises(UserError, match="item 1 is int"):
        text_model.encode(["the cat", 3])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("task", "given"),
    [
        ("encode", (["x"],)),
        ("reconstruct", (["x"],)),
        ("denoise", (["x"],)),
        ("paraphrase", (["x"],)),
        ("interpolate", ("x", "y")),
        ("latent_mean", (["x"],)),
    ],
)
def test_a_language_model_says_what_needs_a_latent(
    language_model: TextModel, task: str, given: tuple[object, ...]
) -> None:
    with pytest.raises(UserError, match=f"{task} needs a latent.*sample and score work"):
        getattr(language_model, task)(*given)


def test_labels_and_info_are_kept(text_model: TextModel, tokenizer: Tokenizer) -> None:
    assert text_model.labels == ["a", "b"]
    assert TextModel(text_model.model, tokenizer, info={"step": 3}).info == {"step": 3}


def test_sampled_reconstructions_do_not_depend_on_company(text_model: TextModel) -> None:
    decoding = Decoding(strategy="sample", seed=4)
    together = text_model.reconstruct(TEXTS, decoding)
    assert together == [text_model.reconstruct([text], decoding)[0] for text in TEXTS]


@pytest.mark.parametrize("tokens", [1, 10, 1000])
def test_groups_hold_everything_once_within_their_budget(tokens: int) -> None:
    ids = [[5] * n for n in (3, 0, 9, 4, 4, 1, 0)]
    found = list(groups(ids, tokens))
    assert sorted(i for group in found for i in group) == list(range(len(ids)))
    for group in found:
        assert len(group) == 1 or len(group) * (max(len(ids[i]) for i in group) + 2) <= tokens
