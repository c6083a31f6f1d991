"""Invertible maps of vectors whose log-determinants are known: what normalizing flows are made of."""

import torch
from torch import Tensor, nn

GREATEST_SCALE = 2.0
"""A layer stretches by at most exp(2): sampling cannot overflow, however far training goes."""


class AffineCoupling(nn.Module):
    """Scales and shifts half of the dimensions by what the other half says (RealNVP).

    Dinh, Sohl-Dickstein and Bengio 2017, arXiv 1605.08803, eq. 4 to 8, with scales bounded by tanh. At
    the start it is the identity.

    Args:
        dimension: size D of the vectors.
        width: of the two hidden layers.
        number: which layer it is. Halves are told by a bit of the dimension's number, each by one
            pair of layers in turn, so that any two dimensions soon are on different sides.
    """

    keep: Tensor

    def __init__(self, dimension: int, width: int, number: int) -> None:
        super().__init__()
        bits = max(1, (dimension - 1).bit_length())
        bit = torch.arange(dimension) >> (number // 2 % bits) & 1
        self.register_buffer("keep", bit == number % 2, persistent=False)
        self.net = nn.Sequential(
            nn.Linear(dimension, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2 * dimension),
        )
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """From x [..., D] to y [..., D]."""
        log_scale, shift = self._terms(x)
        return x * torch.exp(log_scale) + shift

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """From y [..., D] back to x [..., D], and log |dx / dy| [...]."""
        log_scale, shift = self._terms(y)
        return (y - shift) * torch.exp(-log_scale), -log_scale.sum(-1)

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scales and shifts [..., D]: both 0 for the half that stays as it is."""
        log_scale, shift = self.net(torch.where(self.keep, x, 0.0)).chunk(2, -1)
        log_scale = GREATEST_SCALE * torch.tanh(log_scale / GREATEST_SCALE)
        return torch.where(self.keep, 0.0, log_scale), torch.where(self.keep, 0.0, shift)


class TriangularAffine(nn.Module):
    """y = L x + b with a lower triangular L of positive diagonal: any Gaussian from the standard one.

    Args:
        dimension: size D of the vectors.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(dimension))
        self.log_diagonal = nn.Parameter(torch.zeros(dimension))
        self.below = nn.Parameter(torch.zeros(dimension, dimension))

    @property
    def matrix(self) -> Tensor:
        """L, shape [D, D]."""
        return self.below.tril(-1) + torch.diag(self.log_diagonal.exp())

    @property
    def inverse_matrix(self) -> Tensor:
        """The inverse of L, shape [D, D]."""
        unit = torch.eye(len(self.bias), device=self.bias.device)
        inverse: Tensor = torch.linalg.solve_triangular(self.matrix, unit, upper=False)
        return inverse

    def forward(self, x: Tensor) -> Tensor:
        """From x [..., D] to y [..., D]."""
        return x @ self.matrix.t() + self.bias

    def inverse(self, y: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """From y [..., D] back to x [..., D], and log |dx / dy| [...]; `matrix`: `inverse_matrix`."""
        x = (y - self.bias) @ matrix.t()
        return x, -self.log_diagonal.sum().expand(x.shape[:-1])
