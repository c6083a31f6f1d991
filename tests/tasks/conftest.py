"""A tokenizer trained on made-up lines and tiny untrained models that use it."""

import itertools

import pytest

from seqvae.data.text import Tokenizer, train_tokenizer
from seqvae.tasks.text_model import TextModel
from tests.tiny import tiny_model

WORDS = (("red", "big", "old"), ("cat", "dog", "fox"), ("mat", "hill", "roof"))


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    lines = [f"the {a} {b} sat on the {c}" for a, b, c in itertools.product(*WORDS)]
    return Tokenizer(train_tokenizer(lines, vocab_size=300))


@pytest.fixture(scope="session")
def text_model(tokenizer: Tokenizer) -> TextModel:
    return TextModel(tiny_model(vocabulary=tokenizer.vocab_size), tokenizer, labels=["a", "b"])


@pytest.fixture(scope="session")
def language_model(tokenizer: Tokenizer) -> TextModel:
    return TextModel(tiny_model(latent=False, vocabulary=tokenizer.vocab_size), tokenizer)
