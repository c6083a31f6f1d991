"""What a step of a decoder reads and gives, whatever it writes: tokens or frames."""

from typing import Protocol, final

from torch import Tensor, nn


class Readout(Protocol):
    """The two ends of a step."""

    def embed(self, values: Tensor) -> Tensor:
        """What came last, [B, 1], or [B, 1, H] where it is embedded already, as [B, 1, H]."""

    def logits(self, hidden: Tensor) -> Tensor:
        """What a step says of its state [B, H]."""


@final
class Bare(nn.Module):
    """Ends that add nothing: the step takes embedded values and gives its state."""

    def embed(self, values: Tensor) -> Tensor:
        """See `Readout.embed`."""
        return values

    def logits(self, hidden: Tensor) -> Tensor:
        """See `Readout.logits`."""
        return hidden
