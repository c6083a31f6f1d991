"""Several labels and numbers told to one text model: each decides what it should, and alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seqvae import decoders
from seqvae.batch import Batch
from seqvae.config import Model
from seqvae.data.attributes import Attribute
from seqvae.data.corpus import Corpus
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.errors import UserError
from seqvae.evaluation.collapse import prior_reconstruction
from seqvae.evaluation.evaluate import evaluate
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.given_model import by_known, given
from seqvae.model import SequenceVAE
from seqvae.objectives import RateTarget
from seqvae.tasks.given import folded
from seqvae.tasks.text_model import TextModel
from seqvae.training import Trainer, load_text
from tests.training.runs import GRU, TRANSFORMER, experiment

VERBS = {"now": ("sees", "finds", "likes"), "then": ("saw", "found", "liked")}
MOODS = {"glad": "gladly", "sad": "sadly"}
WHO = ("the cat", "a dog", "my friend", "our king", "the child", "a stranger")
WHAT = ("it", "the moon", "a long road", "two stones", "us", "all")
KNOWN = (
    Attribute("mood", ("glad", "sad")),
    Attribute("many", mean=2.0, deviation=1.5, least=0.0, greatest=4.0),
)
MODELS: dict[str, Model] = {
    "gru": replace(GRU, conditional=True),
    "transformer": replace(TRANSFORMER, conditional=True),
    "shared": replace(TRANSFORMER, conditional=True, label_prior="shared"),
}


def sentence(tense: str, mood: str, who: int, what: int, times: int) -> str:
    verb = VERBS[tense][(who + what) % 3]
    return f"{WHO[who]} {verb} {WHAT[what]} {MOODS[mood]}" + " again" * times


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("told")
    rows = ["line\ttense\tmood\ttimes"]
    for tense in VERBS:
        for mood in MOODS:
            for number in range(len(WHO) * len(WHAT) * 5):
                who, what, times = number % 6, number // 6 % 6, number // 36
                rows.append(f"{sentence(tense, mood, who, what, times)}\t{tense}\t{mood}\t{times}")
    rows += ["a line of no number\tnow\tglad\tmany", "a line of no mood\tnow\t\t1"]
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return prepare_text(
        PrepareText(
            inputs=(str(folder / "lines.tsv"),),
            out=folder / "corpus",
            label="tense",
            attributes=("mood", "times:number"),
            vocab_size=60,
            byte_fallback=False,
            valid=0.1,
            test=0.1,
        ),
        say=lambda notice: None,
    )


def test_the_columns_arrive_as_they_were(corpus: Corpus) -> None:
    mood, times = corpus.attributes
    assert mood.values == ("glad", "sad") and times.is_number
    skipped = corpus.meta["counts"]["skipped"]
    assert skipped == {"no mood": 1, "no number in column 'times'": 1}
    seen: list[float] = []
    for split in ("train", "valid", "test"):
        store = corpus.split(split)
        assert store.attributes is not None and store.labels is not None
        for row in range(len(store)):
            text = corpus.tokenizer.decode(store.tokens(row).tolist())
            number, many = store.attributes[row].tolist()
            assert MOODS[mood.values[int(number)]] in text
            assert text.split().count("again") == many
            tense = corpus.labels[store.labels[row]]
            assert any(verb in text.split() for verb in VERBS[tense])
            seen += [many] if split == "train" else []
    assert times.mean == pytest.approx(np.mean(seen))
    assert times.deviation == pytest.approx(np.std(seen))
    assert (times.least, times.greatest) == (min(seen), max(seen))
    again = Corpus.open(corpus.path)
    assert again.attributes == corpus.attributes


def batch_of() -> Batch:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(4, 40, (5, 9), generator=generator)
    attributes = torch.tensor([[0, 1.5], [1, -2.0], [0, 1.5], [1, 0.0], [0, 1.5]])
    lengths = torch.tensor([5, 6, 7, 8, 9])
    return Batch(values, lengths, torch.tensor([0, 1, 0, 1, 1]), attributes=attributes)


def disturbed(networks: Model, *, latent: bool, labels: int = 2) -> SequenceVAE:
    torch.manual_seed(0)
    model = networks.build(40, latent=latent, labels=labels, attributes=KNOWN).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("networks", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("latent", [True, False])
@pytest.mark.parametrize("labels", [2, 0])
def test_given_what_is_known_it_is_the_same_model_and_folded_too(
    networks: Model, latent: bool, labels: int
) -> None:
    model = disturbed(networks, latent=latent, labels=labels)
    batch = batch_of() if labels else replace(batch_of(), labels=None)
    terms = model(batch, torch.tensor([0]))
    parts = list(by_known(model, batch))
    assert sorted(part.size for _, part in parts) == ([1, 1, 1, 2] if labels else [1, 1, 3])
    for one, part in parts:
        label = None if part.labels is None else int(part.labels[0])
        assert part.attributes is not None
        plain = folded(model, networks, label, part.attributes[0])
        whole, alone = elbo(model, part), replace(part, labels=None, attributes=None)
        rows = [
            row for row in range(batch.size) if any(batch.values[row].equal(v) for v in part.values)
        ]
        for same in (one, plain):
            bound = elbo(same, alone)
            torch.testing.assert_close(
                bound.reconstruction, whole.reconstruction, rtol=1e-5, atol=1e-4
            )
            if latent:
                torch.testing.assert_close(bound.kl, terms.kl[rows], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("networks", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("latent", [True, False])
def test_a_batch_of_many_is_measured_as_each_is(networks: Model, latent: bool) -> None:
    model = disturbed(networks, latent=latent)
    batch = batch_of()
    whole = importance_weighted(model, batch, 8)
    for one, part in by_known(model, batch):
        at = [next(i for i in range(5) if batch.values[i].equal(v)) for v in part.values]
        torch.testing.assert_close(
            importance_weighted(one, part, 8), whole[at], rtol=1e-5, atol=1e-4
        )
        if latent:
            gap = prior_reconstruction(one, part), prior_reconstruction(model, batch)[at]
            torch.testing.assert_close(*gap, rtol=1e-5, atol=1e-4)


def test_the_prior_of_a_label_moves_with_the_attributes() -> None:
    model = disturbed(MODELS["gru"], latent=True)
    terms = model(batch_of(), torch.tensor([0]))
    terms.kl.sum().backward()
    assert model.conditioning is not None and model.conditioning.moved is not None
    weight = model.conditioning.moved.weight
    assert weight.grad is not None and (weight.grad != 0).any(1).all()
    fresh = MODELS["gru"].build(40, labels=2, attributes=KNOWN)
    at = [given(fresh, 0, torch.tensor(row)).latent for row in ([0.0, 1.0], [1.0, 3.0])]
    z = torch.randn(3, 8)
    assert at[0] is not None and at[1] is not None
    torch.testing.assert_close(at[0].prior.log_prob(z), at[1].prior.log_prob(z))


@pytest.fixture(scope="module")
def model(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    run = tmp_path_factory.mktemp("attributes") / "run"
    wanted = experiment(
        corpus,
        run,
        model=replace(GRU, conditional=True, decoder=decoders.Gru(width=64)),
        objective=RateTarget(rate=5.0),
        steps=300,
        learning_rate=1e-2,
        tokens_per_batch=500,
        validate_every=150,
        validate_sequences=40,
    )
    Trainer(wanted).fit()
    return load_text(run, "last")


def test_each_attribute_decides_what_it_should(model: TextModel) -> None:
    for tense, verbs in VERBS.items():
        for mood, how in MOODS.items():
            for times in (0, 3):
                texts = model.given(tense, mood=mood, times=times).sample(24, seed=1)
                words = [text.split() for text in texts]
                assert np.mean([how in each for each in words]) >= 0.9, (tense, mood, times, texts)
                assert np.mean([any(verb in each for verb in verbs) for each in words]) >= 0.9
                count = np.mean([each.count("again") for each in words])
                assert abs(count - times) <= 0.6, (tense, mood, times, texts)


def test_it_is_evaluated_with_each_sequences_own_attributes(
    model: TextModel, corpus: Corpus
) -> None:
    right = evaluate(model.model, corpus, "test", samples=8, progress=False)
    one = given(model.model, 0, torch.tensor([0.0, 2.0]))
    wrong = evaluate(one, corpus, "test", samples=8, progress=False)
    assert right["nll_iw"] < wrong["nll_iw"] - 1.0


def test_what_is_missing_or_wrong_is_named(model: TextModel, tmp_path: Path) -> None:
    knows = r"'now', 'then'; mood=glad\|sad; times=NUMBER \(0 to 4 in training\)"
    for said in ((), ("now",), ("now", "mood=sad"), ("mood=sad", "times=1")):
        with pytest.raises(UserError, match=f"say which label.*{knows}"):
            model.given(*said)
    with pytest.raises(UserError, match="times=many: times is a number"):
        model.given("now", mood="sad", times="many")
    with pytest.raises(UserError, match="mood=angry: the model knows 'glad', 'sad'"):
        model.given("now", mood="angry", times=1)
    with pytest.raises(UserError, match="no label 'size=3'; the model knows"):
        model.given("now", "size=3", mood="sad", times=1)
    with pytest.raises(UserError, match="mood is said twice"):
        model.given("now", "mood=sad", mood="glad", times=1)
    lines = tmp_path / "lines.tsv"
    lines.write_text("text\ta\nwords\t1\n")
    with pytest.raises(UserError, match="the column is named twice"):
        prepare_text(
            PrepareText((str(lines),), tmp_path / "out", label="a", attributes=("a:number",))
        )
    told = load_text(model.info["run"], "last", label=["times=2", "then", "mood=sad"])
    assert told.info["label"] == "then times=2 mood=sad"


def test_what_is_switched_changes_and_the_rest_stays(model: TextModel) -> None:
    texts = [sentence("now", "glad", who, what, 1) for who in range(6) for what in range(3)]
    to_sad = [text.split() for text in model.transfer(texts, "mood=sad")]
    assert np.mean(["sadly" in each for each in to_sad]) >= 0.9
    assert np.mean([any(verb in each for verb in VERBS["now"]) for each in to_sad]) >= 0.9
    told = ("now", "mood=glad", "times=1")
    moved = [text.split() for text in model.transfer(texts, ("then", "times=3"), told)]
    assert np.mean(["gladly" in each for each in moved]) >= 0.9
    assert np.mean([any(verb in each for verb in VERBS["then"]) for each in moved]) >= 0.9
    assert abs(np.mean([each.count("again") for each in moved]) - 3) <= 0.6
    with pytest.raises(UserError, match="no label 'later'"):
        model.transfer(texts, "later")
