"""The operations that `python -m benchmarks.kernels` measures, by name.

Each file in `benchmarks/providers/` holds one: its cases, inputs, providers, truth, bytes and flops.
"""

from benchmarks.operation import Operation
from benchmarks.providers import (
    decode_attention,
    gaussian_latent,
    kl_rows,
    linear_cross_entropy,
    prefix_attention,
    sample_latent,
)

REGISTRY: dict[str, Operation] = {
    module.OPERATION.name: module.OPERATION
    for module in (
        gaussian_latent,
        prefix_attention,
        decode_attention,
        sample_latent,
        kl_rows,
        linear_cross_entropy,
    )
}
