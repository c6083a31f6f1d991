"""The Gaussian latent's operators: ``torch.ops.seqvae.gaussian_latent_forward``, ``gaussian_latent_backward``,
``sample_latent`` and ``kl_rows``.

Forward has four results whatever is reduced; what there is none of has no elements. None has an autograd formula:
``seqvae.ops.gaussian_latent`` is the differentiable function.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqvae.ops import gaussian_paths as paths
from seqvae.ops.gaussian_reference import Settings
from seqvae.ops.library import LIBRARY, define

_SETTINGS = (
    "SymInt offset, SymInt samples, float noise_scale, str reduce, float low, float high, "
    "float row_nats, float nats, SymInt width, int rounds"
)
Four = tuple[Tensor, Tensor, Tensor, Tensor]


def _forward(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    *settings: Any,  # noqa: ANN401
) -> Four:
    z, kl, groups, scale = paths.forward(
        mean, log_variance, seed, offset, mask, Settings(*settings)
    )
    given = [z.new_empty(0, dtype=torch.float32) if x is None else x for x in (kl, groups, scale)]
    return (z, given[0], given[1], given[2])


def _forward_fake(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    *settings: Any,  # noqa: ANN401
) -> Four:
    s = Settings(*settings)
    leading, dim = mean.shape[:-1], mean.shape[-1]
    if log_variance is None:
        dim = dim // 2
    shapes: dict[str, tuple[tuple[Any, ...], ...]] = {
        "none": ((*leading, dim), (0,), (0,)),
        "rows": (leading, (0,), (0,)),
        "dimensions": ((0,), (dim // s.width,), (dim,)),
        "both": (leading, (dim // s.width,), (dim,)),
    }
    z = mean.new_empty((s.samples, *leading, dim) if s.samples else (*leading, dim))
    kl, groups, scale = (mean.new_empty(shape, dtype=torch.float32) for shape in shapes[s.reduce])
    return z, kl, groups, scale


def _backward(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    mask: Tensor | None,
    scale: Tensor | None,
    d_z: Tensor | None,
    d_kl: Tensor | None,
    d_groups: Tensor | None,
    *settings: Any,  # noqa: ANN401
) -> tuple[Tensor, Tensor]:
    return paths.backward(
        *(mean, log_variance, seed, offset, mask, scale, d_z, d_kl, d_groups), Settings(*settings)
    )


def _backward_fake(
    mean: Tensor,
    log_variance: Tensor | None,
    *rest: Any,  # noqa: ANN401
) -> tuple[Tensor, Tensor]:
    second = mean.new_empty(0) if log_variance is None else log_variance.new_empty(mean.shape)
    return mean.new_empty(mean.shape), second


def _sample(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    stream: int,
    samples: int,
    noise_scale: float,
) -> Tensor:
    settings = Settings(stream, samples, noise_scale, reduce="rows")
    return paths.sample_latent(mean, log_variance, seed, offset, settings)


def _sample_fake(
    mean: Tensor,
    log_variance: Tensor | None,
    seed: Tensor,
    offset: Tensor | None,
    stream: int,
    samples: int,
    noise_scale: float,
) -> Tensor:
    dim = mean.shape[-1] // 2 if log_variance is None else mean.shape[-1]
    shape = (*mean.shape[:-1], dim)
    return mean.new_empty((samples, *shape) if samples else shape)


def _kl_rows_fake(mean: Tensor, log_variance: Tensor | None, free_bits: float) -> Tensor:
    return mean.new_empty(mean.shape[:-1], dtype=torch.float32)


def _define(
    schema: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
) -> Any:  # noqa: ANN401
    """Register an operator, with a batching rule: one call a slice, so that vmap(f)(x)[i] is f(x[i])."""
    operator = define(schema, cpu=run, cuda=run, fake=fake)

    def batched(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> Any:  # noqa: ANN401
        each = []
        for i in range(info.batch_size):
            pairs = zip(arguments, in_dims, strict=True)
            each.append(operator(*(x if d is None else x.select(d, i) for x, d in pairs)))
        if isinstance(each[0], Tensor):
            return torch.stack(each), 0
        return tuple(torch.stack(results) for results in zip(*each, strict=True)), (0,) * len(
            each[0]
        )

    torch.library.register_vmap(operator, batched, lib=LIBRARY)
    return operator


_STATISTICS = "Tensor mean, Tensor? log_variance, Tensor seed, Tensor? stream"
gaussian_latent_forward = _define(
    f"gaussian_latent_forward({_STATISTICS}, Tensor? mask, {_SETTINGS}) "
    "-> (Tensor z, Tensor kl, Tensor dimensions, Tensor scale)",
    _forward,
    _forward_fake,
)
gaussian_latent_backward = _define(
    f"gaussian_latent_backward({_STATISTICS}, Tensor? mask, Tensor? scale, Tensor? d_z, "
    f"Tensor? d_kl, Tensor? d_dimensions, {_SETTINGS}) -> (Tensor d_mean, Tensor d_log_variance)",
    _backward,
    _backward_fake,
)
sample_latent = _define(
    f"sample_latent({_STATISTICS}, SymInt offset, SymInt samples, float noise_scale) -> Tensor",
    _sample,
    _sample_fake,
)
kl_rows = _define(
    "kl_rows(Tensor mean, Tensor? log_variance, float free_bits) -> Tensor",
    paths.kl_rows,
    _kl_rows_fake,
)
