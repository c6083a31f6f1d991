"""The graphs of a bundle, computed by PyTorch: the engine can be tested where nothing is exported."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqvae.data.text import EOS, PAD
from seqvae.export.bundle import Bundle
from seqvae.export.bundle_manifest import OPTIONS, VARIANTS, Manifest, Variant
from seqvae.priors.standard import StandardPrior
from seqvae.serving.options import RULES, Options
from seqvae.tasks.decode import Decoding, generate, token_likelihood
from seqvae.tasks.text_model import TextModel
from seqvae.tasks.texts import batch_of

Array = np.ndarray[Any, np.dtype[Any]]
BEAM_SIZE = 4
PARTS = {
    "model": ("text", "noise", *RULES),
    "encoder": ("ids", "lengths"),
    "prior": ("seed", "sample"),
    "density": ("z",),
    "start": ("z",),
    "step": ("token", "position", "cond_z", "kv_ids"),
    "generate": ("z", *RULES),
    "scorer": ("ids", "lengths", "z"),
    "tokenizer": ("text",),
    "detokenizer": ("ids",),
}


def decoding_of(options: Options) -> Decoding:
    """The same wish in PyTorch's words."""
    sampled = options.temperature > 0
    strategy = "beam" if options.beam else "sample" if sampled else "greedy"
    return Decoding(
        strategy=strategy,  # type: ignore[arg-type]
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        beam_size=BEAM_SIZE,
        length_penalty=options.length_penalty,
        max_length=options.max_length,
        seed=options.seed,
    )


def manifest_of(model: TextModel, tokenizer: str = "sentencepiece") -> Manifest:
    """What a bundle of the model would say."""
    latent = model.model.latent
    precision, provider, _ = VARIANTS["cpu-fp32"]
    return Manifest(
        version="0",
        kind="text",
        tasks=(),
        latent=0 if latent is None else latent.dimension,
        vocabulary=model.tokenizer.vocab_size,
        max_length=model.max_pieces + 2,
        beam_size=BEAM_SIZE,
        tokenizer=tokenizer,
        opset=20,
        labels=(),
        options=OPTIONS,
        special={},
        default_variant="cpu-fp32",
        variants={"cpu-fp32": Variant(precision, provider, tuple(PARTS), 1, {})},
    )


def bundle_of(model: TextModel, folder: Path, tokenizer: str = "sentencepiece") -> Bundle:
    """A bundle whose graphs are never opened."""
    bundle = Bundle(path=folder, **vars(manifest_of(model, tokenizer)))
    vars(bundle)["pieces"] = model.tokenizer.pieces(range(model.tokenizer.vocab_size))
    return bundle


class TorchGraphs:
    """`Graphs` of a text model; remembers the size of every batch it was given."""

    provider = "cpu"

    def __init__(self, model: TextModel, *, texts_inside: bool = True) -> None:
        self.model = model
        self.texts_inside = texts_inside
        self.calls: list[tuple[str, int]] = []

    def __contains__(self, part: object) -> bool:
        latent = self.model.model.latent
        if part == "density" and (latent is None or isinstance(latent.prior, StandardPrior)):
            return False
        return part in PARTS

    def inputs(self, part: str) -> frozenset[str]:
        names = frozenset(PARTS[part])
        if part == "model" and not self.texts_inside:
            names = names - {"text"} | {"ids", "lengths"}
        return names if self.model.model.latent is not None else names - {"z"}

    def outputs(self, part: str) -> tuple[str, ...]:
        assert part == "step"
        return ("logits", "n_kv_ids")

    def run(
        self, part: str, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        assert feeds.keys() <= self.inputs(part), (part, sorted(feeds))
        self.calls.append((part, max((v.shape[0] for v in feeds.values() if v.ndim), default=1)))
        out: dict[str, Array] = getattr(self, f"_{part}")(**feeds)
        return out if outputs is None else {name: out[name] for name in outputs}

    def close(self) -> None:
        pass

    def _tokenizer(self, text: Array) -> dict[str, Array]:
        limit = self.model.max_pieces
        ids = [self.model.tokenizer.encode(t)[:limit] for t in text.tolist()]
        batch = batch_of(ids, torch.device("cpu"))
        return {"ids": batch.values.numpy(), "lengths": batch.lengths.numpy()}

    def _detokenizer(self, ids: Array) -> dict[str, Array]:
        return {"text": np.array([self.model.tokenizer.decode(r) for r in ids.tolist()], object)}

    def _encoder(self, ids: Array, lengths: Array) -> dict[str, Array]:
        with torch.inference_mode():
            latent = self.model.need_latent("test")
            summary = self.model.model.summarise(torch.tensor(ids), torch.tensor(lengths))
            posterior: Any = latent.posterior(summary.float())
        return {"mean": posterior.mean.numpy(), "log_variance": posterior.log_variance.numpy()}

    def _prior(self, seed: Array, sample: Array) -> dict[str, Array]:
        prior = self.model.need_latent("test").prior
        rows = [
            prior.sample(torch.tensor(s), int(k[0]) + 1)[-1].detach().numpy()
            for s, k in zip(seed, sample, strict=True)
        ]
        return {"z": np.stack(rows)}

    def _density(self, z: Array) -> dict[str, Array]:
        with torch.inference_mode():
            return {
                "log_prob": self.model.need_latent("test").prior.log_prob(torch.tensor(z)).numpy()
            }

    def _start(self, z: Array | None = None) -> dict[str, Array]:
        rows = 1 if z is None else len(z)
        state = {"kv_ids": np.zeros((rows, 0), np.float32)}
        return state if z is None else state | {"cond_z": z}

    def _step(
        self, token: Array, position: Array, kv_ids: Array, cond_z: Array | None = None
    ) -> dict[str, Array]:
        assert kv_ids.shape[1] == int(position)
        ids = np.concatenate([kv_ids, token.astype(np.float32)], 1)
        z = None if cond_z is None else torch.tensor(cond_z)
        with torch.inference_mode():
            states = self.model.model.decode(torch.tensor(np.pad(ids, ((0, 0), (0, 1)))).long(), z)
            logits = token_likelihood(self.model.model).logits(states[:, -1])
        return {"logits": logits.numpy(), "n_kv_ids": ids}

    def _generate(self, z: Array | None = None, **options: Array) -> dict[str, Array]:
        rows = []
        for i in range(len(options["seed"])):
            one = Options(**{name: options[name][i, 0] for name in RULES})
            at = None if z is None else torch.tensor(z[i : i + 1])
            rows.append(
                generate(self.model.model, at, decoding_of(one), rows=torch.tensor([one.sample]))
            )
        width = max(len(row.ids[0]) + 1 for row in rows)
        ids = np.full((len(rows), width), PAD, np.int64)
        for i, row in enumerate(rows):
            whole = row.ids[0] + [EOS] * bool(row.complete[0])
            ids[i, : len(whole)] = whole
        return {
            "ids": ids,
            "log_prob": np.array([[float(row.log_prob[0])] for row in rows], np.float32),
            "complete": np.array([[bool(row.complete[0])] for row in rows]),
        }

    def _scorer(self, ids: Array, lengths: Array, z: Array | None = None) -> dict[str, Array]:
        values, length = torch.tensor(ids), torch.tensor(lengths)
        with torch.inference_mode():
            states = self.model.model.decode(values, None if z is None else torch.tensor(z))
            steps = token_likelihood(self.model.model).nll_steps(states, values, length)
        return {"surprisal": steps.numpy()}

    def _model(
        self,
        text: Array | None = None,
        ids: Array | None = None,
        lengths: Array | None = None,
        noise: Array | None = None,
        **options: Array,
    ) -> dict[str, Array]:
        if text is not None:
            read = self._tokenizer(text)
            ids, lengths = read["ids"], read["lengths"]
        assert ids is not None and lengths is not None
        found = self._encoder(ids, lengths)
        mean, deviation = found["mean"], np.exp(0.5 * found["log_variance"])
        if noise is None:
            noise = self._prior(options["seed"], options["sample"])["z"]
        z = mean + options["noise_scale"] * noise * deviation
        out = self._generate(z, **options)
        if text is None:
            return {"written": out.pop("ids"), **out}
        return {"written": self._detokenizer(out["ids"])["text"], **out}
