"""Training speed: our training step against a straightforward PyTorch one of equal size.

    python -m benchmarks.throughput [CORPUS]

`ours` is the step that `seqvae train` takes with the preset's model (length-bucketed batches, latent prefix, chunked
vocabulary loss), logging included. `memory` is what one writes first: nn.TransformerEncoder, mean pooling, a Gaussian z,
nn.TransformerDecoder with z as its memory, learned positions, random sequences padded to the longest, full logits,
cross_entropy, clipping, AdamW. `added` is a leaner rival without cross-attention: z is added to the inputs of causal
nn.TransformerEncoder layers. All have the same layers, width, heads, dropout, vocabulary and corpus, and on average the
same number of sequences in a step. Every round times all of them, so that a busy machine slows them alike. Tokens are
real ones (end token counted, padding not); figures are medians. Without CORPUS: sentences of a small grammar.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.record import ledger, write_result
from seqvae.config import Preset, preset
from seqvae.data.corpus import Corpus
from seqvae.data.loader import Loader
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.data.synthetic import sentences
from seqvae.data.text import PAD
from seqvae.decoders import Transformer
from seqvae.training import Trainer
from seqvae.training.material_text import TextMaterial

TARGET = 1.5


class PlainVae(nn.Module):
    """A text VAE of PyTorch's own layers.

    Args:
        vocabulary: pieces.
        config: its decoder's sizes also serve the encoder.
        latent: size of z.
        max_length: longest sequence.
        memory: z as the memory of nn.TransformerDecoder; otherwise added to the inputs.
    """

    def __init__(
        self, vocabulary: int, config: Transformer, latent: int, max_length: int, memory: bool
    ) -> None:
        super().__init__()
        width, sizes = config.width, (config.width, config.heads, 4 * config.width)
        options = {"activation": "gelu", "batch_first": True, "norm_first": True}
        norm = nn.LayerNorm(width)
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.positions = nn.Embedding(max_length, width)
        layer = nn.TransformerEncoderLayer(*sizes, config.dropout, **options)  # type: ignore[arg-type]
        self.encoder = nn.TransformerEncoder(
            layer, config.layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.statistics = nn.Linear(width, 2 * latent)
        self.from_z = nn.Linear(latent, width)
        self.decoder: nn.Module
        if memory:
            decoder_layer = nn.TransformerDecoderLayer(*sizes, config.dropout, **options)  # type: ignore[arg-type]
            self.decoder = nn.TransformerDecoder(decoder_layer, config.layers, norm)
        else:
            self.decoder = nn.TransformerEncoder(
                layer, config.layers, norm, enable_nested_tensor=False
            )
        self.memory = memory
        self.dropout = nn.Dropout(config.dropout)

    def _embed(self, values: Tensor) -> Tensor:
        places = torch.arange(values.shape[1])
        out: Tensor = self.dropout(self.embedding(values) + self.positions(places))
        return out

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction and KL of values [B, T], nats summed over everything."""
        padding = values == PAD
        states = self.encoder(self._embed(values), src_key_padding_mask=padding)
        real = (~padding).unsqueeze(-1)
        mean, log_variance = self.statistics((states * real).sum(1) / real.sum(1)).chunk(2, -1)
        z = self.from_z(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())[:, None]
        inputs, targets = self._embed(values[:, :-1]), values[:, 1:]
        mask = nn.Transformer.generate_square_subsequent_mask(inputs.shape[1])
        if self.memory:
            out = self.decoder(inputs, z, tgt_mask=mask, tgt_is_causal=True)
        else:
            out = self.decoder(inputs + z, mask=mask, is_causal=True)
        logits = out @ self.embedding.weight.t()
        nll = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="sum"
        )
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return nll, kl


def plain_step(
    model: PlainVae, loader: Loader, rows: int, learning_rate: float
) -> Callable[[], int]:
    """A training step over `rows` random sequences; returns its real tokens."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    generator = torch.Generator().manual_seed(0)

    def step() -> int:
        indices = torch.randint(len(loader.store), (rows,), generator=generator).numpy()
        batch = loader.collate(indices)
        tokens = int((batch.lengths - 1).sum())
        optimizer.zero_grad(set_to_none=True)
        nll, kl = model(torch.from_numpy(batch.values))
        ((nll + 0.1 * kl) / tokens).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return tokens

    return step


def our_step(trainer: Trainer) -> Callable[[], int]:
    """A step of `seqvae train`; returns its real tokens."""

    def step() -> int:
        tokens, _ = trainer._train_step()
        trainer.step += 1
        return tokens

    return step


def timed(step: Callable[[], int], steps: int) -> float:
    """Real tokens a second over `steps` steps."""
    began, tokens = time.perf_counter(), 0
    for _ in range(steps):
        tokens += step()
    return tokens / (time.perf_counter() - began)


def synthetic(folder: Path, lines: int, vocabulary: int) -> Corpus:
    """A corpus of a small grammar's sentences."""
    text = "\n".join(sentence for sentence, _, _ in sentences(lines))
    (folder / "lines.txt").write_text(text + "\n", encoding="utf-8")
    return prepare_text(
        PrepareText(
            inputs=(str(folder / "lines.txt"),), out=folder / "corpus", vocab_size=vocabulary
        )
    )


def measure(
    corpus: Corpus, folder: Path, size: Preset, rounds: int, steps: int, threads: int | None
) -> dict[str, object]:
    """Interleaved timings of all contenders."""
    base = preset(size)
    training = replace(base.training, steps=100_000, threads=threads)
    trainer = Trainer(
        replace(base, data=str(corpus.path), run=str(folder / "run"), training=training)
    )
    assert isinstance(trainer.material, TextMaterial)
    loader = trainer.material.loader
    decoder, latent = base.text.decoder, trainer.model.need_latent().dimension
    assert isinstance(decoder, Transformer)
    rows = max(1, round(len(loader.store) / loader.steps_per_epoch))
    plain = {
        name: PlainVae(
            corpus.tokenizer.vocab_size, decoder, latent, base.text.max_length, name == "memory"
        )
        for name in ("memory", "added")
    }
    contenders = {"ours": our_step(trainer)} | {
        name: plain_step(model, loader, rows, training.learning_rate)
        for name, model in plain.items()
    }
    sizes = {name: sum(p.numel() for p in model.parameters()) for name, model in plain.items()}
    sizes["ours"] = sum(p.numel() for p in trainer.model.parameters())
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, step in contenders.items():
            speed = timed(step, steps)
            if number:  # the first round warms up
                found[name].append(speed)
        if number:
            print(" ".join(f"{name} {speeds[-1]:,.0f}" for name, speeds in found.items()))
    return {
        "tokens_per_second": {name: statistics.median(x) for name, x in found.items()},
        "ratio": {
            name: statistics.median(a / b for a, b in zip(found["ours"], found[name], strict=True))
            for name in plain
        },
        "rounds": found,
        "parameters": sizes,
        "sequences_per_step": rows,
        "vocabulary": corpus.tokenizer.vocab_size,
        "threads": torch.get_num_threads(),
    }


def main(
    corpus: Annotated[Path | None, tyro.conf.Positional] = None,
    /,
    preset: Preset = "tiny",
    rounds: int = 9,
    steps: int = 10,
    threads: int | None = None,
    smoke: bool = False,
) -> None:
    """Training tokens a second of ours and of straightforward PyTorch.

    Args:
        corpus: prepared text; by default sentences of a small grammar.
        preset: size of the model.
        rounds: timings of each, interleaved.
        steps: training steps in a timing.
        threads: CPU threads; by default torch's choice.
        smoke: tiny, to see that it runs; nothing is recorded.
    """
    if smoke:
        rounds, steps = 1, 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Corpus.open(corpus) if corpus else synthetic(folder, 600 if smoke else 30_000, 4096)
        result = measure(data, folder, preset, rounds, steps, threads)
    ratio = result["ratio"]
    assert isinstance(ratio, dict)
    print(f"ours against memory {ratio['memory']:.2f} x, against added {ratio['added']:.2f} x")
    if smoke:
        return
    source = corpus.name if corpus else "synthetic"
    path = write_result("throughput", {"corpus": source, "preset": preset, **result})
    ledger(
        "A",
        [
            {
                "bar": "4",
                "what": "training tokens/s against straightforward PyTorch of equal size",
                "target": f">= {TARGET}",
                "figure": round(ratio["memory"], 2),
                "met": ratio["memory"] >= TARGET,
                "result_file": path,
            }
        ],
    )


if __name__ == "__main__":
    tyro.cli(main)
