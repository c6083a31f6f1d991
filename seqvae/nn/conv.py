"""1-D convolutions over time that keep its length (or divide or multiply it), causal if asked.

Channels first, [B, C, T]. Padding of a batch is zero wherever a convolution reads it, so that a
sequence has the same states alone as in a batch: `masked` sees to that.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x` [B, C, T] with zeros where `mask` [B, 1, T] is false; None: all of it is real."""
    # Not a product: NaN times 0 is NaN.
    return x if mask is None else torch.where(mask, x, 0.0)


def frame_mask(lengths: Tensor | None, size: int) -> Tensor | None:
    """True where a frame is real, [B, 1, size], for `lengths` [B]; None stays None."""
    if lengths is None:
        return None
    return (torch.arange(size, device=lengths.device)[None, :] < lengths[:, None])[:, None]


def shortened(lengths: Tensor | None, stride: int) -> Tensor | None:
    """Steps that are left of `lengths` [B] after a stride: a part of a step counts as one."""
    return None if lengths is None else (lengths + stride - 1) // stride


class Conv(nn.Conv1d):
    """Convolution whose output has ceil(T / stride) steps.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: taps; odd where stride is 1.
        stride: steps of the input for one of the output.
        causal: output step t reads input steps < (t + 1) * stride only.
        bias: whether a constant is added: not where a norm takes it away again.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        causal: bool = False,
        bias: bool = True,
    ) -> None:
        past = kernel - stride if causal else (kernel - stride + 1) // 2
        # Enough behind the last step that a part of a stride counts as one.
        future = kernel - 1 - past
        even = past == future
        super().__init__(inputs, outputs, kernel, stride, padding=past if even else 0, bias=bias)
        self.around = None if even else (past, future)

    def forward(self, x: Tensor) -> Tensor:
        """From [B, inputs, T] to [B, outputs, ceil(T / stride)]."""
        return super().forward(x if self.around is None else F.pad(x, self.around))


class Upsample(nn.ConvTranspose1d):
    """Transposed convolution to twice as many steps.

    Args:
        inputs: channels in.
        outputs: channels out.
        causal: output steps 2 t and 2 t + 1 read input steps <= t only.
    """

    def __init__(self, inputs: int, outputs: int, *, causal: bool = False) -> None:
        super().__init__(inputs, outputs, 4, 2)
        self.first = 0 if causal else 1

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """From [B, inputs, T] to [B, outputs, 2 T]."""
        whole = super().forward(x)
        return whole[:, :, self.first : self.first + 2 * x.shape[2]]
