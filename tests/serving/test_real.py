"""The engine on bundles that were exported for real, against PyTorch."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import seqvae.serving
from seqvae.data.text import Tokenizer
from seqvae.errors import UserError
from seqvae.serving.captured import CapturedStepper
from seqvae.serving.engine import Engine
from seqvae.serving.options import Options, Row
from seqvae.serving.stepper import BoundStepper, FeedStepper, Stepper
from seqvae.serving.streaming import stream
from seqvae.tasks.text_model import TextModel
from tests.serving.real import Exported, export, shown, write
from tests.serving.torch_graphs import decoding_of
from tests.tiny import tiny_model

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime_extensions")
ROOT = Path(__file__).parents[2]
TEXTS = [
    "the red cat sat on the mat",
    "old dog",
    "日本 😀",
    "",
    "  odd\tspaces ",
    "<s> x </s>",
]
WAYS = [
    Options(max_length=30),
    Options(temperature=0.9, seed=4, sample=3, max_length=30),
    Options(temperature=1.3, top_k=9, top_p=0.8, seed=-7, max_length=60),
    Options(beam=True, max_length=20),
]
SAMPLED = [way for way in WAYS if way.temperature > 0]


@pytest.fixture(scope="module")
def exported(text_model: TextModel) -> Exported:
    return export(text_model)


@pytest.fixture(scope="module")
def bundle(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(exported, tmp_path_factory.mktemp("real") / "text.bundle").path


@pytest.fixture(scope="module")
def engine(bundle: Path) -> Engine:
    return Engine(bundle, provider="cpu", threads=1)


@pytest.fixture(scope="module")
def gru(
    exported: Exported, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Engine, TextModel]:
    """A language model, its decoder recurrent."""
    model = TextModel(tiny_model("gru", False, vocabulary=tokenizer.vocab_size), tokenizer)
    made = write(export(model, exported.choices), tmp_path_factory.mktemp("real") / "gru.bundle")
    return Engine(made, provider="cpu", threads=1), model


def test_the_golden_rows(engine: Engine, gru: tuple[Engine, TextModel]) -> None:
    engine.warm_up()
    engine.check_golden()
    gru[0].warm_up()


@pytest.mark.parametrize("options", WAYS, ids=range(len(WAYS)))
def test_tasks_are_those_of_pytorch(
    engine: Engine, text_model: TextModel, options: Options
) -> None:
    options = Options(**vars(options) | {"sample": 0})
    decoding = decoding_of(options)
    wanted = [shown(t) for t in text_model.reconstruct(TEXTS, decoding)]
    assert engine.reconstruct(TEXTS, options) == wanted
    wanted = [shown(t) for t in text_model.sample(8, decoding)]
    assert engine.sample(8, options) == wanted and len(set(wanted)) > 1
    first, last = TEXTS[:2]
    wanted = [shown(t) for t in text_model.interpolate(first, last, 4, decoding=decoding)]
    assert engine.interpolate(first, last, 4, options=options) == wanted
    # Texts that differ behind U+0000 only are one text here: draw no new ones for them.
    distinct = not (options.temperature > 0 and options.top_k == 0)
    for a, b in zip(
        text_model.paraphrase(TEXTS, 4, decoding=decoding, distinct=distinct),
        engine.paraphrase(TEXTS, 4, options=options, distinct=distinct),
        strict=True,
    ):
        assert [(shown(c.text), c.copy) for c in a.candidates] == [
            (c.text, c.copy) for c in b.candidates
        ]
        np.testing.assert_allclose(
            [c.score for c in a.candidates], [c.score for c in b.candidates], rtol=1e-4
        )


def test_scores_are_those_of_pytorch(
    engine: Engine, text_model: TextModel, gru: tuple[Engine, TextModel]
) -> None:
    for here, there in ((engine, text_model), gru):
        pairs = zip(here.score(TEXTS, 20, seed=3), there.score(TEXTS, 20, seed=3), strict=True)
        for found, wanted in pairs:
            for name in ("elbo", "nll_iw", "kl", "reconstruction"):
                assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-4)
            assert [p.piece for p in found.pieces] == [p.piece for p in wanted.pieces]
            np.testing.assert_allclose(
                [p.surprisal for p in found.pieces], [p.surprisal for p in wanted.pieces], rtol=1e-3
            )


def test_a_row_alone_is_the_row_in_company(engine: Engine) -> None:
    rows = [Row(text, way) for text in TEXTS for way in WAYS]
    rows.append(Row(TEXTS[0], WAYS[0], np.array([1, -1, 0.5, 2], np.float32)))
    together = engine.generate(rows)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda row: engine.generate([row])[0], rows))
    assert [(w.text, w.ids, w.complete) for w in alone] == [
        (w.text, w.ids, w.complete) for w in together
    ]
    assert len({len(w.ids) for w in together}) > 3


@pytest.mark.parametrize("which", ["text", "gru"])
@pytest.mark.parametrize("options", [WAYS[0], *SAMPLED], ids=range(3))
def test_every_stepper_streams_the_text(
    engine: Engine, gru: tuple[Engine, TextModel], which: str, options: Options
) -> None:
    model = engine if which == "text" else gru[0]
    sessions, latent = model._sessions, model.bundle.latent
    start, step = sessions.session("start"), sessions.session("step")
    steppers: list[Stepper] = [
        FeedStepper(sessions),
        BoundStepper(start, step, "cpu"),
        CapturedStepper(start, step, "cpu", latent=latent, limit=63),
    ]
    for text in TEXTS[:3]:
        row = Row(text, options)
        wanted = model.generate([row])[0].text
        assert "".join(model.stream(row)) == wanted
        z = model._core.latent_of(row)
        for stepper in steppers:
            assert "".join(stream(model._core, stepper, z, options)) == wanted
    beam = Row(TEXTS[0], WAYS[3])
    assert "".join(model.stream(beam)) == model.generate([beam])[0].text


@pytest.mark.parametrize("options", SAMPLED, ids=range(2))
def test_a_language_model_samples(gru: tuple[Engine, TextModel], options: Options) -> None:
    here, there = gru
    options = Options(**vars(options) | {"sample": 0})
    wanted = [shown(text) for text in there.sample(6, decoding_of(options))]
    assert here.sample(6, options) == wanted and len(set(wanted)) > 1
    rows = [Row("read by nobody", Options(**vars(options) | {"sample": k})) for k in range(6)]
    assert [one.text for one in here.generate(rows)] == wanted


def test_ids_outside_the_graphs(
    exported: Exported, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = write(exported, tmp_path_factory.mktemp("real") / "ids.bundle", "ids")
    here = Engine(made, provider="cpu", threads=1)
    here.warm_up()
    rows = [Row(text, way) for text in TEXTS for way in WAYS]
    for a, b in zip(here.generate(rows), engine.generate(rows), strict=True):
        assert (shown(a.text), a.ids, a.complete) == (b.text, b.ids, b.complete)
    assert here.score(TEXTS, 2) == engine.score(TEXTS, 2)


def test_long_texts(engine: Engine, bundle: Path, text_model: TextModel) -> None:
    limit = text_model.max_pieces
    words = text_model.tokenizer.pieces(range(5, text_model.tokenizer.vocab_size))
    word = next(w[1:] for w in words if w.startswith("▁") and len(w) > 1)
    engine.encode([" ".join([word] * limit)])
    over = " ".join([word] * (limit + 1))
    with pytest.raises(UserError, match=f"item 1 .* more than {limit} pieces"):
        engine.generate([Row("a"), Row(over)])
    cropping = Engine(bundle, provider="cpu", threads=1, crop=True)
    reader = TextModel(text_model.model, text_model.tokenizer, crop=True)
    np.testing.assert_allclose(
        cropping.encode([over])[0], reader.latent_mean([over]), rtol=1e-4, atol=1e-5
    )


def test_the_example_runs_without_torch(bundle: Path) -> None:
    """The example of the package, with nothing but what a small server installs."""
    assert seqvae.serving.__doc__ is not None
    lines = seqvae.serving.__doc__.splitlines()
    example = textwrap.dedent("\n".join(line for line in lines if line.startswith("    ")))
    assert 6 <= len(example.splitlines()) <= 10
    blocked = ("torch", "onnx", "onnxscript", "sentencepiece", "pyarrow", "starlette", "tyro")
    code = f"import sys\nsys.modules.update(dict.fromkeys({blocked}))\n" + example.replace(
        "my.bundle", str(bundle)
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) >= 4
