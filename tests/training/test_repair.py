"""A trained model puts back, moves and respells words, with a latent and without."""

import random
from pathlib import Path

import pytest

from seqvae.data.noise_text import DAMAGES, damage, word_errors
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.objectives import RateTarget
from seqvae.training import load_text, train
from tests.training.runs import experiment, lines


@pytest.mark.parametrize("latent", ["vae", "none"])
def test_damage_of_known_sentences_is_undone(tmp_path: Path, latent: str) -> None:
    source = tmp_path / "lines.txt"
    source.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    corpus = prepare_text(
        PrepareText(
            (str(source),),
            tmp_path / "corpus",
            vocab_size=110,
            model_type="bpe",
            byte_fallback=False,
        )
    )
    objective = RateTarget(rate=3.0)
    wanted = experiment(corpus, tmp_path / "run", latent=latent, objective=objective, steps=140)
    train(wanted)
    model = load_text(tmp_path / "run", "last")
    generator = random.Random(0)
    texts = lines()[::8]
    damaged = [damage(text, list(DAMAGES), 0.3, generator) for text in texts]
    repaired = model.repair(damaged)
    before, after = (sum(map(word_errors, found, texts)) for found in (damaged, repaired))
    # What was lost cannot be known: one verb is as good as another.
    assert before > 15 and after < 0.6 * before
    # What is whole stays whole.
    assert sum(map(word_errors, model.repair(texts), texts)) <= 2
