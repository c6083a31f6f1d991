"""Copy synthesis: recordings to frames and back by each vocoder, judged; speed; latency. Bar 3 of issue D.

    python -m benchmarks.vocoder CORPUS runs/speech/vocoder_linear_head runs/speech/vocoder_istft

CORPUS is a folder written by `seqvae prepare speech`, of whose test split LIMIT recordings of each speaker are
spoken; the others are folders of trained vocoders, the first one that which the ledger's rows are about. Beside them
stand the recordings themselves, Griffin-Lim without training and, where pyworld is installed, WORLD, which is given
the recording and not its frames. Each trained vocoder also speaks as a stream, block by block as a model converts
while somebody talks. Times are CPU seconds of one thread per second of sound: another process on the machine hardly
changes them. Results: benchmarks/results/speech/vocoder.json and vocoder.md. The referees are those of `make eval-env`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from benchmarks.record import ledger, write_result
from seqvae.data.speech.audio import write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.store import SpeechStore
from seqvae.evaluation.referees.client import judge
from seqvae.evaluation.referees.job import Item
from seqvae.evaluation.referees.summary import table
from seqvae.tasks.vocoder_stream import vocoder_stream
from seqvae.vocoders import GriffinLim, Vocoder, load_vocoder

Floats = np.ndarray[Any, np.dtype[np.float32]]
Speak = Callable[[SpeechStore, int], Floats]
RESULT = "speech/vocoder"
REFEREES = ("words", "speaker", "quality")
NATURAL = "natural"
ENROLLED = 24
"""Recordings of the training split that stand for a voice."""
BLOCK = 2
"""Frames that a stream takes at once: the stride of the default speech model."""
SECONDS = 4.0
"""Length of the sound that speed is measured on: a sentence."""
ROUNDS = 5
# Bar 3.
SIMILARITY, DNSMOS, WORDS, FACTOR, LATENCY = 0.89, 3.0, 0.02, 0.1, 0.150


@torch.no_grad()
def run(
    corpus: tyro.conf.Positional[Path],
    vocoders: tyro.conf.Positional[tuple[Path, ...]],
    limit: int = 24,
    folder: Path | None = None,
) -> None:
    """Speak, judge, time.

    Args:
        corpus: prepared corpus.
        vocoders: folders of trained ones; the first is that of the ledger.
        limit: test recordings of each speaker, spread over the split.
        folder: where the sounds are kept; by default nowhere.
    """
    torch.set_num_threads(1)
    opened = SpeechCorpus.open(corpus)
    known = {path.name: load_vocoder(path, opened.settings) for path in vocoders}
    untrained = {f"griffin-lim {n}": GriffinLim(iterations=n) for n in (8, 32)}
    everyone = {
        **known,
        **{n: c.build(opened.settings).eval() for n, c in untrained.items()},
    }
    costs = {name: cost(vocoder, opened) for name, vocoder in everyone.items()}
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        items, voices = sounds(opened, speakers_of(known, everyone), limit, place)
        groups = judge(items, voices, referees=REFEREES, out=place / "referees.json")["groups"]
    text = report(groups, costs, corpus.name, limit)
    path = write_result(
        RESULT, {"corpus": corpus.name, "limit": limit, "groups": groups, "costs": costs}
    )
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    chosen = next(iter(known))
    ledger(
        "D",
        [{"bar": "3", "result_file": path, **row} for row in bars(chosen, groups, costs[chosen])],
    )
    print(text)


def speakers_of(
    trained: Mapping[str, Vocoder], everyone: Mapping[str, Vocoder]
) -> dict[str, Speak]:
    """Everything that speaks, by the name of its group."""
    found: dict[str, Speak] = {NATURAL: lambda store, index: store.audio(index)}
    for name, vocoder in everyone.items():
        found[name] = lambda store, index, v=vocoder: v(_frames(store, index))[0].numpy()  # type: ignore[misc]
    for name, vocoder in trained.items():
        found[f"{name}, stream"] = lambda store, index, v=vocoder: streamed(
            v, _frames(store, index)
        )[0]  # type: ignore[misc]
    if (again := world()) is not None:
        found["WORLD"] = again
    return found


def streamed(vocoder: Vocoder, frames: torch.Tensor) -> tuple[Floats, list[float]]:
    """Sound of frames [1, T, mels] that come in blocks, and the CPU seconds of each block."""
    stream, found, spent = vocoder_stream(vocoder), [], []
    blocks = torch.split(frames, BLOCK, 1)
    for number, block in enumerate(blocks, 1):
        began = time.process_time()
        found.append(stream.push(block, last=number == len(blocks)))
        spent.append(time.process_time() - began)
    return torch.cat(found).numpy(), spent


def latency(vocoder: Vocoder) -> float:
    """Most seconds from a sample of sound to the one spoken for it, computing not counted.

    A block of frames must be there, half a window behind it, and the frames that the stream waits for.
    """
    settings: MelSettings = vocoder.settings
    ahead = vocoder_stream(vocoder).ahead
    waits = (((frame + ahead) // BLOCK + 1) * BLOCK - frame for frame in range(BLOCK))
    return (max(waits) * settings.hop + settings.edge) / settings.sample_rate


def cost(vocoder: Vocoder, corpus: SpeechCorpus) -> dict[str, float]:
    """Real-time factors of one thread, whole and as a stream; latency and CPU seconds of a block."""
    settings, store = corpus.settings, corpus.split("test")
    wanted = round(SECONDS * settings.frame_rate)
    pieces, index = [np.array(store.mel(0))], 0
    while sum(map(len, pieces)) < wanted:
        index += 1
        pieces.append(np.array(store.mel(index)))
    frames = torch.from_numpy(np.concatenate(pieces))[None, :wanted]
    seconds = wanted / settings.frame_rate
    vocoder(frames)
    whole = []
    for _ in range(ROUNDS):
        began = time.process_time()
        vocoder(frames)
        whole.append((time.process_time() - began) / seconds)
    spent = streamed(vocoder, frames)[1]
    return {
        "real_time_factor": statistics.median(whole),
        "stream_real_time_factor": sum(spent) / seconds,
        "latency": latency(vocoder),
        "block_seconds": statistics.median(spent),
        "parameters": sum(p.numel() for p in vocoder.parameters()),
    }


def sounds(
    corpus: SpeechCorpus, speak: Mapping[str, Speak], limit: int, folder: Path
) -> tuple[list[Item], dict[str, list[str]]]:
    """What is judged, and recordings of each voice; files that are there stay."""
    test, train, rate = corpus.split("test"), corpus.split("train"), corpus.settings.sample_rate
    items: list[Item] = []
    voices: dict[str, list[str]] = {}
    for number, voice in enumerate(corpus.train_speakers):
        voices[voice] = []
        for index in spread(train, number, ENROLLED):
            path = folder / "voices" / f"{voice}-{index}.wav"
            write(path, rate, lambda i=index: train.audio(i))  # type: ignore[misc]
            voices[voice].append(str(path))
        for name, maker in speak.items():
            for index in spread(test, number, limit):
                path = folder / name.replace(" ", "_").replace(",", "") / f"{voice}-{index}.wav"
                write(path, rate, lambda i=index, m=maker: m(test, i))  # type: ignore[misc]
                items.append(Item(str(path), name, test.text(index) or None, voice))
    return sorted(items, key=lambda item: list(speak).index(item.group)), voices


def spread(store: SpeechStore, speaker: int, count: int) -> list[int]:
    """Up to `count` recordings of a speaker, evenly over what there is."""
    own = np.flatnonzero(store.speaker == speaker)
    at = np.linspace(0, len(own) - 1, min(count, len(own))).round().astype(int)
    return [int(index) for index in own[np.unique(at)]]


def write(path: Path, rate: int, make: Callable[[], Floats]) -> None:
    """A sound file, unless it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, np.clip(make(), -0.99, 0.99), rate)


def world() -> Speak | None:
    """Analysis and synthesis by WORLD (Morise, Yokomori, Ozawa 2016); None where pyworld is not installed."""
    try:
        import pyworld
    except ImportError:
        return None

    def speak(store: SpeechStore, index: int) -> Floats:
        samples, rate = store.audio(index).astype(np.float64), store.settings.sample_rate
        pitch, at = pyworld.harvest(samples, rate)
        envelope = pyworld.cheaptrick(samples, pitch, at, rate)
        noise = pyworld.d4c(samples, pitch, at, rate)
        made = pyworld.synthesize(pitch, envelope, noise, rate)
        return np.asarray(made[: len(samples)], np.float32)

    return speak


def bars(name: str, groups: Mapping[str, Any], costs: Mapping[str, float]) -> list[dict[str, Any]]:
    """Bar 3 for a vocoder."""
    row, natural = groups[name], groups[NATURAL]
    worse = row["wer"] - natural["wer"]
    wait = costs["latency"] + costs["block_seconds"]
    factor = costs["real_time_factor"]
    count = f"{row['items']} recordings, {name}"
    return [
        {
            "what": "copy synthesis: similarity",
            "target": f">= {SIMILARITY}",
            "figure": f"{row['similarity']:.3f} (natural {natural['similarity']:.3f}), {count}",
            "met": row["similarity"] >= SIMILARITY,
        },
        {
            "what": "copy synthesis: DNSMOS",
            "target": f">= {DNSMOS}",
            "figure": f"{row['ovrl']:.2f} (natural {natural['ovrl']:.2f}), {count}",
            "met": row["ovrl"] >= DNSMOS,
        },
        {
            "what": "copy synthesis: WER",
            "target": "within 2 points of natural",
            "figure": f"{row['wer']:.1%} (natural {natural['wer']:.1%}), {count}",
            "met": worse <= WORDS,
        },
        {
            "what": "vocoder: real-time factor of one core, PyTorch",
            "target": f"<= {FACTOR}",
            "figure": f"{factor:.3f}, {name}",
            "met": factor <= FACTOR,
        },
        {
            "what": "vocoder: streaming latency",
            "target": "<= 150 ms",
            "figure": f"{wait * 1e3:.0f} ms, of which {costs['block_seconds'] * 1e3:.0f} ms computing of a block of "
            f"{BLOCK} frames, at {costs['stream_real_time_factor']:.2f} of real time; DNSMOS of the stream "
            f"{groups[f'{name}, stream']['ovrl']:.2f}, {name}",
            "met": wait <= LATENCY and costs["stream_real_time_factor"] < 1.0,
        },
    ]


def report(groups: Mapping[str, Any], costs: Mapping[str, Any], corpus: str, limit: int) -> str:
    """Tables in Markdown."""
    lines = [
        "# Copy synthesis",
        "",
        (
            f"Written by `python -m benchmarks.vocoder`: {limit} test recordings of each speaker of {corpus}, to log-mel frames and "
            "back. WER: Whisper tiny.en; to target: Resemblyzer; DNSMOS P.835."
            + (" WORLD is given the recording, not its frames." if "WORLD" in groups else "")
        ),
        "",
        table(groups, ("wer", "cer", "similarity", "as_target", "ovrl", "sig", "bak")),
        "",
        (
            "Of one thread, per second of sound; a stream takes blocks of "
            f"{BLOCK} frames, its latency counts the window, the block and the frames waited for."
        ),
        "",
        "| | real-time factor | as a stream | latency ms | computing of a block ms | parameters |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in costs.items():
        cells = (
            f"{row['real_time_factor']:.3f}",
            f"{row['stream_real_time_factor']:.2f}",
            f"{row['latency'] * 1e3:.0f}",
            f"{row['block_seconds'] * 1e3:.1f}",
            f"{row['parameters']:,.0f}",
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _frames(store: SpeechStore, index: int) -> torch.Tensor:
    return torch.from_numpy(np.array(store.mel(index)))[None]


if __name__ == "__main__":
    tyro.cli(run)
