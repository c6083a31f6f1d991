"""The conditional text VAE: a model given a label is the same model, and its label decides what it should."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seqvae import decoders
from seqvae.batch import Batch
from seqvae.config import Model
from seqvae.data.corpus import Corpus
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.decoders.injection import Injection
from seqvae.errors import UserError
from seqvae.evaluation.evaluate import evaluate
from seqvae.evaluation.likelihood import elbo, importance_weighted
from seqvae.given_model import by_known, given
from seqvae.objectives import RateTarget
from seqvae.posteriors import Iaf, Vmf
from seqvae.priors import Flow
from seqvae.priors.by_label import ByLabelPrior
from seqvae.tasks.given import folded
from seqvae.tasks.text_model import TextModel
from seqvae.training import Trainer, load_text
from tests.laws_frames import LAWS
from tests.training.runs import GRU, TRANSFORMER, experiment

VERBS = {"now": ("sees", "finds", "likes", "takes"), "then": ("saw", "found", "liked", "took")}
WHO = ("the cat", "a dog", "my friend", "our king", "the child", "a stranger")
WHAT = ("it", "the moon", "a long road", "two stones", "an apple", "us", "all", "him")
LABELS = 3


def changed(model: Model, **settings: object) -> Model:
    return replace(model, conditional=True, **settings)  # type: ignore[arg-type]


INJECTED: list[Injection] = ["film", "prefix", "embedding", "softmax", "product"]
MODELS: dict[str, Model] = {
    "gru": changed(GRU),
    "gru-added": changed(GRU, decoder=decoders.Gru(width=32, injection="embedding")),
    "shared": changed(TRANSFORMER, label_prior="shared", prior=Flow(2, 16)),
    "iaf": changed(GRU, posterior=Iaf(8, width=16), label_prior="shared"),
    "vmf": changed(GRU, posterior=Vmf(8), label_prior="shared"),
    **{
        way: changed(TRANSFORMER, decoder=decoders.Transformer(1, 32, 2, injection=way))
        for way in INJECTED
    },
    "transformer": changed(TRANSFORMER),
}


def batch_of(labels: list[int]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(4, 40, (len(labels), 9), generator=generator)
    lengths = torch.arange(len(labels)) % 5 + 5
    return Batch(values, lengths, torch.tensor(labels))


@pytest.mark.parametrize("networks", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("latent", [True, False])
def test_given_a_label_it_is_the_same_model_and_folded_too(networks: Model, latent: bool) -> None:
    torch.manual_seed(0)
    model = networks.build(40, latent=latent, labels=LABELS).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    batch = batch_of([2, 0, 2, 1, 0])
    seen = 0
    for one, part in by_known(model, batch):
        assert part.labels is not None
        label = int(part.labels[0])
        plain = folded(model, networks, label)
        alone = replace(part, labels=None)
        whole = elbo(model, replace(part)) if latent else None
        for same in (one, plain):
            bound = elbo(same, alone)
            if whole is not None and networks.label_prior == "shared":
                torch.testing.assert_close(bound.nll, whole.nll, rtol=1e-5, atol=1e-4)
            torch.testing.assert_close(
                bound.reconstruction, elbo(model, part).reconstruction, rtol=1e-5, atol=1e-4
            )
            bounds = [importance_weighted(same, alone, k).mean() for k in (1, 64)]
            assert bounds[1] <= bounds[0] + 1e-4
        seen += part.size
    assert seen == batch.size


def test_the_loss_is_that_of_the_models_given_each_label() -> None:
    torch.manual_seed(0)
    model = MODELS["gru"].build(40, labels=LABELS).eval()
    assert model.latent is not None
    prior = model.latent.prior
    assert isinstance(prior, ByLabelPrior)
    prior.means.data.normal_()
    prior.log_variances.data.normal_()
    batch = batch_of([2, 0, 2, 1, 0])
    terms = model(batch, torch.tensor([0]))
    for label in range(LABELS):
        one, rows = given(model, label), batch.labels == label
        posterior = one.encode(batch)
        assert one.latent is not None
        torch.testing.assert_close(one.latent.prior.kl(posterior)[rows].sum(1), terms.kl[rows])
    terms.kl.sum().backward()
    assert prior.means.grad is not None and (prior.means.grad != 0).any(1).all()


@pytest.mark.parametrize("law", LAWS["prior"], ids=lambda law: law.__name__)
def test_the_prior_by_label_obeys_the_laws_of_priors(law: object) -> None:
    class Config:
        def build(self, dimension: int, items: int = 0) -> ByLabelPrior:
            prior = ByLabelPrior(3, dimension)
            with torch.no_grad():
                prior.means.normal_(generator=torch.Generator().manual_seed(1))
            return prior

    law(Config())  # type: ignore[operator]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("labelled")
    rows = ["text\ttense"] + [
        f"{who} {verb} {what}\t{label}"
        for label, verbs in VERBS.items()
        for who in WHO
        for verb in verbs
        for what in WHAT
    ]
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return prepare_text(
        PrepareText(
            inputs=(str(folder / "lines.tsv"),),
            out=folder / "corpus",
            columns=("text",),
            label="tense",
            vocab_size=100,
            byte_fallback=False,
            valid=0.1,
            test=0.1,
        ),
        say=lambda notice: None,
    )


@pytest.fixture(scope="module")
def model(labelled: Corpus, tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    run = tmp_path_factory.mktemp("conditional") / "run"
    wanted = experiment(
        labelled,
        run,
        model=changed(GRU, decoder=decoders.Gru(width=64)),
        objective=RateTarget(rate=7.0),
        steps=240,
        learning_rate=1e-2,
        tokens_per_batch=400,
        validate_every=120,
        validate_sequences=40,
    )
    Trainer(wanted).fit()
    return load_text(run, "last")


def share(texts: list[str], label: str) -> float:
    return sum(any(verb in text.split() for verb in VERBS[label]) for text in texts) / len(texts)


def test_samples_have_the_label_that_was_asked_for(model: TextModel) -> None:
    for label in VERBS:
        assert share(model.given(label).sample(40), label) >= 0.95


def test_a_switched_label_changes_its_words_and_keeps_the_rest(model: TextModel) -> None:
    texts = [f"{who} sees {what}" for who in WHO for what in WHAT[:4]]
    moved = model.transfer(texts, "then")
    assert share(moved, "then") >= 0.95
    same = model.transfer(texts, "now")
    kept = [a.split()[:2] == b.split()[:2] for a, b in zip(moved, same, strict=True)]
    assert sum(kept) / len(kept) >= 0.8
    assert model.transfer(texts, "then", "now") == moved
    assert model.transfer([], "then") == []


def test_it_is_evaluated_with_each_sequences_own_label(model: TextModel, labelled: Corpus) -> None:
    right = evaluate(model.model, labelled, "test", samples=8, progress=False)
    assert right["kl"] > 3
    then = model.labels.index("then")
    wrong = evaluate(given(model.model, then), labelled, "test", samples=8, progress=False)
    assert right["nll_iw"] < wrong["nll_iw"] - 1.0


def test_mistakes_are_named(model: TextModel) -> None:
    with pytest.raises(UserError, match="say which label"):
        model.sample(2)
    with pytest.raises(UserError, match="say which label"):
        model.score(["the cat sees it"])
    with pytest.raises(UserError, match="no label 'later'; the model knows 'now', 'then'"):
        model.given("later")
    with pytest.raises(UserError, match="does not know labels"):
        model.given("now").given("now")
    with pytest.raises(UserError, match="needs labels; prepare the text with --label"):
        MODELS["gru"].build(40)
    with pytest.raises(UserError, match="label-prior shared"):
        changed(GRU, prior=Flow())
    with pytest.raises(UserError, match="unit sphere"):
        changed(GRU, posterior=Vmf(8))


def test_a_label_is_exported(model: TextModel, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from seqvae.export.export import export_run
    from seqvae.serving import Engine

    run = model.info["run"]
    with pytest.raises(UserError, match="say which label"):
        export_run(run, tmp_path / "none", variants=("cpu-fp32",))
    bundle = export_run(
        run, tmp_path / "then", variants=("cpu-fp32",), which="last", label="then", sentences=()
    )
    written = Engine(bundle.path).sample(20)
    assert share(written, "then") >= 0.9
