import pytest

from seqvae.errors import UserError
from seqvae.tasks.decode import Decoding
from seqvae.tasks.text_model import TextModel


@pytest.mark.parametrize("which", ["text_model", "language_model"])
def test_the_first_samples_of_many_are_those_of_few(
    which: str, request: pytest.FixtureRequest
) -> None:
    model: TextModel = request.getfixturevalue(which)
    many = model.sample(6, seed=2)
    assert len(set(many)) > 1
    assert model.sample(3, seed=2) == many[:3]
    assert model.sample(6, seed=3) != many


def test_the_seed_is_one_wherever_it_is_given(text_model: TextModel) -> None:
    decoding = Decoding(strategy="sample", top_k=5, seed=9)
    assert text_model.sample(4, decoding) == text_model.sample(
        4, Decoding(strategy="sample", top_k=5), seed=9
    )


def test_greedy_samples_differ_by_their_z(text_model: TextModel) -> None:
    assert len(set(text_model.sample(6, Decoding()))) > 1


def test_nonsense_is_refused(text_model: TextModel, language_model: TextModel) -> None:
    with pytest.raises(UserError, match="n is -1"):
        text_model.sample(-1)
    with pytest.raises(UserError, match="the same text"):
        language_model.sample(2, Decoding())
