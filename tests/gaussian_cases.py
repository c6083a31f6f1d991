"""Cases of the Gaussian latent that every path is tested on, and what float64 says of them."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from seqvae.ops import FreeBits, gaussian_latent
from seqvae.ops import gaussian_reference as reference
from seqvae.ops.gaussian_latent import Reduce
from seqvae.ops.gaussian_reference import Settings

SEED, STREAM = 1234567890123, (1 << 32) + 5


@dataclass(frozen=True)
class Case:
    """Arguments of one call.

    Attributes:
        layout: "split", "packed" (one tensor [N, 2D]), "strided" (rows of a wider tensor) or "transposed".
        masked: whether every third row does not count; such rows hold NaN.
    """

    rows: int
    dim: int
    reduce: Reduce = "rows"
    free_bits: FreeBits | None = None
    masked: bool = False
    clamp: tuple[float, float] | None = None
    samples: int | None = None
    layout: str = "split"
    dtype: torch.dtype = torch.float32
    noise_scale: float = 0.7
    rounds: int = 10

    def __str__(self) -> str:
        free = self.free_bits.over if self.free_bits else "none"
        said = f"{self.rows}x{self.dim}-{self.reduce}-free_{free}-{self.layout}-{self.dtype}"
        switches = f"-masked_{self.masked}-{self.clamp}-S_{self.samples}-r{self.rounds}"
        return (said + switches).replace("torch.", "").replace(" ", "")

    def keywords(self, device: str = "cpu") -> dict[str, Any]:
        """Arguments of ``gaussian_latent`` beside the statistics and the seed."""
        mask = torch.arange(self.rows, device=device) % 3 != 1 if self.masked else None
        return {
            "offset": STREAM,
            "samples": self.samples,
            "noise_scale": self.noise_scale,
            "reduce": self.reduce,
            "free_bits": self.free_bits,
            "mask": mask,
            "clamp": self.clamp,
            "rounds": self.rounds,
        }

    def statistics(self, device: str = "cpu") -> list[Tensor]:
        """Leaf tensors: [N, D] twice, or what they are part of."""
        rows, dim = self.rows, self.dim
        generator = torch.Generator().manual_seed(rows * 7919 + dim)
        packed = torch.randn(rows, 2 * dim, generator=generator, dtype=torch.float64)
        if self.masked:
            packed[1::3] = float("nan")
        if self.layout == "packed":
            made = [packed]
        elif self.layout == "strided":
            made = [torch.cat([packed, torch.full_like(packed, float("nan"))], 1)]
        elif self.layout == "transposed":
            made = [half.T.contiguous() for half in packed.chunk(2, 1)]
        else:
            made = [half.contiguous() for half in packed.chunk(2, 1)]
        return [x.to(device=device, dtype=self.dtype).requires_grad_() for x in made]

    def arguments(self, leaves: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Mean and log-variance as views of the leaves."""
        if self.layout == "packed":
            return leaves[0], None
        if self.layout == "strided":
            return leaves[0][:, : self.dim], leaves[0][:, self.dim : 2 * self.dim]
        if self.layout == "transposed":
            return leaves[0].T, leaves[1].T
        return leaves[0], leaves[1]


def weights(outputs: list[Tensor]) -> list[Tensor]:
    """Gradients of the outputs: not 1, the same for every path, NaN nowhere."""
    made = []
    for i, output in enumerate(outputs):
        generator = torch.Generator().manual_seed(i + 1)
        weight = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        made.append(weight.to(device=output.device, dtype=output.dtype))
    return made


def flat(z: Tensor, kl: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """z and one or two KLs as a list."""
    return [z, *kl] if isinstance(kl, tuple) else [z, kl]


def run(case: Case, device: str = "cpu") -> list[Tensor]:
    """z, KLs and the gradients of the leaves, by ``gaussian_latent``; the inputs must come out unchanged."""
    leaves = case.statistics(device)
    before = [leaf.detach().clone() for leaf in leaves]
    seed = torch.tensor([SEED], device=device)
    outputs = flat(*gaussian_latent(*case.arguments(leaves), seed, **case.keywords(device)))
    gradients = torch.autograd.grad(outputs, leaves, weights(outputs))
    for leaf, old in zip(leaves, before, strict=True):
        torch.testing.assert_close(leaf.detach(), old, rtol=0, atol=0, equal_nan=True)
    return [*(output.detach() for output in outputs), *gradients]


def settings(case: Case) -> Settings:
    """The case as the reference takes it."""
    low, high = case.clamp or (-float("inf"), float("inf"))
    free, nats = case.free_bits, case.free_bits.nats if case.free_bits else 0.0
    over = free.over if free else ""
    return Settings(
        offset=STREAM,
        samples=case.samples or 0,
        noise_scale=case.noise_scale,
        reduce=case.reduce,
        low=low,
        high=high,
        row_nats=nats if over == "row" else -float("inf"),
        nats=nats if over in ("dimension", "group") else -float("inf"),
        width=case.dim // free.groups if free and over == "group" else 1,
        rounds=case.rounds,
    )


def truth(case: Case, noise: Tensor | None = None) -> list[Tensor]:
    """What ``run`` should give, from the reference in float64 and its autograd.

    Args:
        case: whose inputs are rounded to its dtype first.
        noise: shaped as z, if it is not to be drawn.
    """
    leaves = [x.detach().double().requires_grad_() for x in case.statistics()]
    mask = case.keywords()["mask"]
    mean, log_variance = case.arguments(leaves)
    how = settings(case)
    if noise is not None:
        how = how._replace(noise_scale=0.0)
    seed = torch.tensor([SEED])
    found = reference.forward(mean, log_variance, seed, None, mask, how, torch.float64)
    outputs = [x for x in found[:3] if x is not None]
    if noise is not None:
        bounded = reference.halves(mean, log_variance)[1].clamp(how.low, how.high)
        spread = (0.5 * bounded).exp() * noise.double() * case.noise_scale
        if mask is not None:
            spread = torch.where(mask[:, None], spread, 0.0)
        outputs[0] = outputs[0] + spread
    # Upstream gradients as the path sees them: rounded to the dtype of its outputs.
    given = [_like(x, case.dtype if i == 0 else torch.float32) for i, x in enumerate(outputs)]
    upstream = [weight.double() for weight in weights(given)]
    gradients = torch.autograd.grad(outputs, leaves, upstream)
    return [*(output.detach() for output in outputs), *gradients]


def _like(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(x.shape, dtype=dtype)


def odd_sizes() -> list[Case]:
    """Sizes that fill no block: what a kernel gets wrong at its edges."""
    sizes = [(1, 1), (3, 1), (1, 3), (3, 63), (63, 3), (5, 257), (7, 64), (9, 100)]
    return [Case(rows, dim) for rows, dim in sizes]


def every_switch(dtype: torch.dtype = torch.float32) -> list[Case]:
    """Each option at least once, and those that meet in one kernel together."""
    plain = Case(5, 12, dtype=dtype)
    row, dimension = FreeBits(7.5, "row"), FreeBits(0.7, "dimension")
    groups = FreeBits(1.8, "group", groups=3)
    return [
        replace(plain, reduce="none"),
        replace(plain, reduce="none", masked=True, clamp=(-0.5, 0.5), layout="packed"),
        replace(plain, free_bits=row),
        replace(plain, free_bits=row, masked=True, samples=3, layout="packed"),
        replace(plain, free_bits=FreeBits(5.5), clamp=(0.2, 1.0), masked=True, layout="strided"),
        replace(plain, reduce="dimensions"),
        replace(plain, reduce="dimensions", free_bits=dimension, masked=True, layout="packed"),
        replace(plain, reduce="dimensions", free_bits=groups, clamp=(-1.0, 0.1), samples=2),
        replace(plain, reduce="both", free_bits=row, layout="transposed"),
        replace(plain, reduce="both", free_bits=groups, masked=True, clamp=(0.2, 1.0)),
        replace(plain, reduce="both", free_bits=dimension, samples=1, rounds=7, layout="strided"),
    ]
