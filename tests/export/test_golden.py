"""The rows that are compared: what PyTorch's tasks write for them."""

import pytest

from seqvae.data.text import EOS, Tokenizer, train_tokenizer
from seqvae.export.golden import (
    ODD,
    STYLES,
    Case,
    corpus_sentences,
    golden_cases,
    make_cases,
    write_with_torch,
)
from seqvae.tasks.decode import Decoding
from seqvae.tasks.text_model import TextModel
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model() -> TextModel:
    lines = [f"the {a} cat sat on the {b}" for a in ("red", "old") for b in ("mat", "hill")]
    tokenizer = Tokenizer(train_tokenizer(lines * 5, vocab_size=300))
    return TextModel(tiny_model(vocabulary=tokenizer.vocab_size), tokenizer)


def test_every_kind_of_row_is_there(model: TextModel) -> None:
    cases = make_cases(model, [])
    texts = {case.text for case in cases}
    assert set(ODD.values()) <= texts and len(cases) >= 16
    assert any(len(model.tokenizer.encode(text)) > model.max_pieces for text in texts)
    for style in STYLES.values():
        assert sum(case.options == style for case in cases) >= 2
    assert len({case.name for case in cases}) == len(cases)
    kept = golden_cases(make_cases(model, ["a"] * 300))
    assert 16 <= len(kept) <= 60 and {repr(c.options) for c in kept} >= {
        repr(s) for s in STYLES.values()
    }


def test_pytorch_writes_what_its_tasks_write(model: TextModel) -> None:
    texts = ["the red cat", "", ODD["emoji"]]
    greedy = [Case("g", text, {"noise_scale": 0.0}) for text in texts]
    written = write_with_torch(model, greedy, 4)
    assert [w.text for w in written] == model.reconstruct(texts)
    beam = [Case("b", text, {"noise_scale": 0.0, "beam": True}) for text in texts]
    wanted = model.reconstruct(texts, Decoding(strategy="beam", beam_size=3))
    assert [w.text for w in write_with_torch(model, beam, 3)] == wanted
    for row in written:
        assert row.complete == (row.ids[-1] == EOS)


def test_paraphrase_k_is_sample_k(model: TextModel) -> None:
    text, seed = "the red cat", 11
    decoding = Decoding(strategy="sample", seed=seed)
    found = model.paraphrase([text], 3, decoding=decoding, distinct=False)[0].candidates
    rows = [Case(str(k), text, {"seed": seed, "sample": k, "temperature": 1.0}) for k in range(3)]
    assert sorted(c.text for c in found) == sorted(w.text for w in write_with_torch(model, rows, 4))


def test_a_row_is_the_same_in_any_company(model: TextModel) -> None:
    cases = make_cases(model, [])
    together = write_with_torch(model, cases, 4)
    for index in (0, 9, len(cases) - 1):
        (alone,) = write_with_torch(model, [cases[index]], 4)
        assert (alone.ids, alone.text) == (together[index].ids, together[index].text)


def test_a_language_model_reads_nothing(model: TextModel) -> None:
    plain = TextModel(
        tiny_model(latent=False, vocabulary=model.tokenizer.vocab_size), model.tokenizer
    )
    cases = make_cases(plain, ["ignored"])
    assert len(cases) >= 12 and {case.text for case in cases} == {""}
    written = write_with_torch(plain, cases, 4)
    assert len({w.ids for w in written}) > 3


def test_without_a_corpus_there_are_no_sentences(model: TextModel) -> None:
    assert corpus_sentences(model, 5) == []
