"""Whether a processor computes in bfloat16 itself: where it does not, autocast only costs time."""

import torch


def cpu_has_bfloat16() -> bool:
    """Whether this machine's CPU multiplies in bfloat16 (AVX512-BF16, AMX)."""
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
