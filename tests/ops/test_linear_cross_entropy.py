import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqvae.ops import linear_cross_entropy as module
from seqvae.ops.linear_cross_entropy import linear_cross_entropy, linear_cross_entropy_reference


def inputs(
    rows: int, width: int, vocabulary: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, vocabulary, (rows,), generator=generator)
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), targets


def gradients(loss: Tensor, by: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, of, by)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    # 16 rows a chunk, the least there is: most cases then have several, the last not full.
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", 1)


@given(
    rows=st.integers(1, 70),
    width=st.integers(1, 9),
    vocabulary=st.integers(1, 40),
    even=st.booleans(),
)
def test_equals_full_logits(rows: int, width: int, vocabulary: int, even: bool) -> None:
    hidden, weight, targets = inputs(rows, width, vocabulary, seed=rows)
    by = torch.full((rows,), 0.7).double() if even else torch.linspace(-1, 2, rows).double()
    loss = linear_cross_entropy(hidden, weight, targets)
    full = linear_cross_entropy_reference(hidden, weight, targets)
    torch.testing.assert_close(loss, full)
    found, expected = (gradients(x, by, hidden, weight) for x in (loss, full))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float64, 1e-12)]
)
@pytest.mark.parametrize("even", [True, False])
def test_every_precision_is_near_float64(dtype: torch.dtype, tolerance: float, even: bool) -> None:
    hidden, weight, targets = inputs(45, 8, 31, dtype)
    by = torch.ones(45) if even else torch.linspace(0, 1, 45)
    loss = linear_cross_entropy(hidden, weight, targets)
    assert loss.dtype == torch.promote_types(dtype, torch.float32)
    found = gradients(loss, by.to(loss.dtype), hidden, weight)
    exact = [x.detach().double().requires_grad_() for x in (hidden, weight)]
    truth = linear_cross_entropy_reference(exact[0], exact[1], targets)
    expected = gradients(truth, by.double(), *exact)
    for a, b in zip((loss, *found), (truth, *expected), strict=True):
        error = (a.detach().double() - b.detach()).norm() / b.detach().norm()
        assert float(error) < tolerance
    assert [x.dtype for x in found] == [dtype, dtype]


@pytest.mark.parametrize("even", [True, False])
def test_gradcheck(even: bool) -> None:
    hidden, weight, targets = inputs(19, 3, 5)
    by = torch.ones(19) if even else torch.linspace(-1, 1, 19)

    def loss(hidden: Tensor, weight: Tensor) -> Tensor:
        return (linear_cross_entropy(hidden, weight, targets) * by).sum()

    assert torch.autograd.gradcheck(loss, (hidden, weight))


def test_zero_gradient_and_repeated_backward() -> None:
    hidden, weight, targets = inputs(20, 4, 7)
    loss = linear_cross_entropy(hidden, weight, targets)
    nothing = torch.autograd.grad(loss, (hidden, weight), torch.zeros_like(loss), retain_graph=True)
    assert all(not bool(x.any()) for x in nothing)
    first = torch.autograd.grad(loss, (hidden, weight), torch.ones_like(loss), retain_graph=True)
    second = torch.autograd.grad(loss, (hidden, weight), torch.ones_like(loss))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("trained", [0, 1])
def test_one_side_may_be_frozen(trained: int) -> None:
    hidden, weight, targets = inputs(20, 4, 7)
    (hidden, weight)[1 - trained].requires_grad_(False)
    linear_cross_entropy(hidden, weight, targets).sum().backward()  # type: ignore[no-untyped-call]
    assert (hidden, weight)[trained].grad is not None
    assert (hidden, weight)[1 - trained].grad is None


def test_no_rows() -> None:
    hidden, weight, _ = inputs(3, 4, 7)
    loss = linear_cross_entropy(hidden[:0], weight, torch.zeros(0, dtype=torch.int64))
    assert loss.shape == (0,)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert not weight.grad.any()


def test_extreme_logits_stay_finite() -> None:
    hidden = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0], [0.0]], requires_grad=True)
    loss = linear_cross_entropy(hidden, weight, torch.tensor([0, 0]))
    torch.testing.assert_close(loss.detach(), torch.tensor([0.0, 2e4]))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert bool(hidden.grad.isfinite().all())


def test_nan_reaches_loss_and_gradient() -> None:
    hidden, weight, targets = inputs(20, 4, 7)
    with torch.no_grad():
        hidden[3, 0] = float("nan")
    loss = linear_cross_entropy(hidden, weight, targets)
    assert bool(loss[3].isnan())
    assert int(loss.isnan().sum()) == 1
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert bool(weight.grad.isnan().any())


def test_autocast_computes_in_bfloat16() -> None:
    hidden, weight, targets = inputs(40, 8, 30, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, targets)
    direct = linear_cross_entropy(hidden.bfloat16(), weight.bfloat16(), targets)
    torch.testing.assert_close(loss, direct, rtol=0, atol=0)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.float32
