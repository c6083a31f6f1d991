"""Registration of operations with torch, cheap in eager mode and opaque to compilers.

``torch.library.custom_op`` costs 14 to 18 us a call on a CPU and ``Library.define`` 4; an operation
written as ``triton_op`` does not compile on a CPU. So: ``Library.define`` with one implementation a device.
"""

from collections.abc import Callable
from typing import Any

import torch

# The operators live as long as this object.
LIBRARY = torch.library.Library("seqvae", "DEF")  # type: ignore[no-untyped-call]


def define(
    schema: str,
    *,
    cpu: Callable[..., Any],
    cuda: Callable[..., Any],
    fake: Callable[..., Any],
) -> Any:  # noqa: ANN401
    """Register ``torch.ops.seqvae.NAME`` and return its default overload.

    Args:
        schema: e.g. "kl_rows(Tensor mean, Tensor log_variance, float free_bits) -> Tensor".
        cpu: implementation on CPU tensors.
        cuda: implementation on CUDA tensors.
        fake: shapes, dtypes and strides of the result without computing it.
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))  # type: ignore[no-untyped-call]
    LIBRARY.impl(name, cpu, "CPU")  # type: ignore[no-untyped-call]
    LIBRARY.impl(name, cuda, "CUDA")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"seqvae::{name}", fake, lib=LIBRARY)
    return getattr(torch.ops.seqvae, name).default
