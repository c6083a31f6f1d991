"""Layer normalisation whose scale and shift may come from a latent (FiLM, adaptive LayerNorm)."""

from torch import Tensor, nn
from torch.nn import functional as F


class FilmNorm(nn.Module):
    """`norm(x) * (weight + scale) + (bias + shift)`, scale and shift per sequence.

    FiLM: Perez et al. 2018 (arXiv 1709.07871, eq. 2); on the normalisation as in DiT (Peebles & Xie
    2023). Without modulation it is an ordinary LayerNorm.

    Args:
        width: size of the normalised axis.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, modulation: Tensor | None = None) -> Tensor:
        """Normalise `x` [B, T, H]; `modulation` [B, 2 H] is scale | shift, or None."""
        if modulation is None:
            return self.norm(x)  # type: ignore[no-any-return]
        scale, shift = modulation.unsqueeze(1).chunk(2, -1)
        plain = F.layer_norm(x, (x.shape[-1],), self.norm.weight, self.norm.bias, self.norm.eps)
        return plain * (1 + scale) + shift
