"""Damaged sentences repaired: word errors before and after, for lost, exchanged and mistyped words and all of these.

    python -m benchmarks.denoise CORPUS --work runs/denoise

CORPUS is a folder written by `seqvae prepare text`. Training pairs are its sentences, each damaged `copies` times, and themselves:
the encoder reads the damaged text, the decoder writes the whole one. An error is a word to insert, remove or exchange
(Levenshtein), counted against the clean sentence over the whole test set. The same command goes on where it stopped. Result:
benchmarks/results/denoise/NAME.json.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import tyro

from benchmarks.cpu_clock import counted, cpu_seconds
from benchmarks.record import ledger, write_result
from seqvae.config import preset
from seqvae.data.corpus import Corpus
from seqvae.data.noise_text import DAMAGES, damage, word_errors
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.posteriors import Gaussian
from seqvae.tasks.decode import Decoding
from seqvae.training import load_text, train

BAR = 0.5
"""Share of the errors to be removed."""
MIXTURES = {**{kind: (kind,) for kind in DAMAGES}, "mixed": tuple(DAMAGES)}


def sentences(corpus: Corpus, split: str, limit: int | None = None) -> list[str]:
    """Texts of a split, as the tokenizer normalises them."""
    store = corpus.split(split)
    count = len(store) if limit is None else min(limit, len(store))
    return [corpus.tokenizer.decode(store.tokens(i)) for i in range(count)]


def write_pairs(
    path: Path, texts: Sequence[str], copies: int, rate: float, generator: random.Random
) -> Path:
    """A table of damaged and whole texts: each text whole, and `copies` times damaged in a random way."""
    ways = list(MIXTURES.values())
    with path.open("w", encoding="utf-8") as table:
        for text in texts:
            clean = " ".join(text.split())
            for copy in range(copies + 1):
                # Between none and twice the rate: the model must not learn how much is wrong.
                share = generator.uniform(0, min(1.0, 2 * rate)) if copy else 0.0
                table.write(f"{damage(clean, generator.choice(ways), share, generator)}\t{clean}\n")
    return path


def measure(
    repair: Callable[[Sequence[str]], list[str]], texts: Sequence[str], rate: float, seed: int
) -> dict[str, dict[str, float]]:
    """Word errors in percent of the words, before and after repair, by kind of damage; `none` is clean text."""
    found = {}
    for kind, kinds in {**MIXTURES, "none": ("drop",)}.items():
        generator = random.Random(f"{seed} {kind}")
        damaged = [damage(t, kinds, rate if kind != "none" else 0.0, generator) for t in texts]
        words = sum(len(text.split()) for text in texts)
        repaired = repair(damaged)
        before = sum(word_errors(a, b) for a, b in zip(damaged, texts, strict=True))
        after = sum(word_errors(a, b) for a, b in zip(repaired, texts, strict=True))
        found[kind] = {
            "before": 100 * before / words,
            "after": 100 * after / words,
            **({"removed": 1 - after / before} if before else {}),
        }
    return found


def main(
    corpus: tyro.conf.Positional[Path],
    work: Path,
    name: str = "captions",
    rate: float = 60.0,
    damaged: float = 0.15,
    copies: int = 3,
    limit: int = 1000,
    steps: int = 9000,
    beams: tuple[int, ...] = (1, 4),
    seed: int = 0,
) -> None:
    """Train, repair, and write down.

    Args:
        corpus: prepared, of single texts.
        work: folder for the pairs and the run.
        name: what to call the result.
        rate: nats that z carries; as many as the sentence costs, or it cannot be written again.
        damaged: share of words damaged in the test; training sees up to twice that.
        copies: damaged copies of each training sentence.
        limit: test sentences.
        steps: of training.
        beams: widths of the search that are compared on validation sentences; 1 is greedy.
        seed: of training and damage.
    """
    work.mkdir(parents=True, exist_ok=True)
    whole = Corpus.open(corpus)
    tables = {}
    for split, count in (("train", copies), ("valid", 1), ("test", 1)):
        tables[split] = work / f"{split}.tsv"
        if not tables[split].exists():
            partial = work / f"{split}.partial"
            generator = random.Random(f"{seed} {split}")
            write_pairs(partial, sentences(whole, split), count, damaged, generator)
            partial.replace(tables[split])
    pairs = prepare_text(
        PrepareText(
            (str(tables["train"]),),
            work / "data",
            columns=("1", "2"),
            header=False,
            tokenizer=corpus / "tokenizer.model",
            valid_inputs=(str(tables["valid"]),),
            test_inputs=(str(tables["test"]),),
        )
    )
    base = preset("tiny", rate=rate)
    training = replace(base.training, threads=1, steps=steps)
    experiment = replace(
        base,
        seed=seed,
        data=str(pairs.path),
        run=str(work / "run"),
        model=replace(base.text, posterior=Gaussian(dimension=64)),
        training=training,
    )
    with counted(work / "run.cpu.json"):
        train(experiment)
    model = load_text(work / "run", prior="standard")
    model.crop = True

    def repair(beam: int) -> Callable[[Sequence[str]], list[str]]:
        decoding = Decoding() if beam == 1 else Decoding(strategy="beam", beam_size=beam)
        return lambda texts: model.denoise(texts, decoding)

    chosen_on = sentences(whole, "valid", 200)
    trials = {
        beam: measure(repair(beam), chosen_on, damaged, seed)["mixed"]["after"] for beam in beams
    }
    beam = min(trials, key=trials.__getitem__)
    found = measure(repair(beam), sentences(whole, "test", limit), damaged, seed)
    path = write_result(
        f"denoise/{name}",
        {
            "rate": rate,
            "damaged": damaged,
            "steps": steps,
            "train_cpu_seconds": cpu_seconds(work / "run.cpu.json"),
            "beam": beam,
            "word_errors_by_beam": trials,
            "word_errors": found,
        },
    )
    ledger(
        "E",
        [
            {
                "bar": "2",
                "what": f"denoising {name}: {kind}",
                "target": f"word errors removed >= {BAR:.0%}",
                "figure": f"{found[kind]['removed']:.1%} ({found[kind]['before']:.1f} to {found[kind]['after']:.1f} % of words)",
                "met": found[kind]["removed"] >= BAR,
                "result_file": path,
            }
            for kind in MIXTURES
        ],
    )
    for kind, row in found.items():
        print(f"{kind:6s} " + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))


if __name__ == "__main__":
    tyro.cli(main)
