"""ONNX's GRU operator in place of torch's: packed sequences do not export, and `nn.GRU` exports once a process."""

import torch
from torch import Tensor, nn


def gru_layers(x: Tensor, gru: nn.GRU, first: Tensor | None, lengths: Tensor | None) -> Tensor:
    """Run all layers; only while exporting: outside it returns zeros.

    Args:
        x: shape [B, T, I].
        gru: weights.
        first: first states [layers * directions, B, H]; None: zeros.
        lengths: valid steps of each row, shape [B]; None: all. The states beyond are zeros.

    Returns:
        States [B, T, directions * H].
    """
    directions = 2 if gru.bidirectional else 1
    rows = torch.onnx.ops.symbolic(
        "Shape", (x,), {"start": 0, "end": 1}, dtype=torch.int64, shape=(1,), version=15
    )
    # ONNX Runtime 1.32 ends the process at a GRU of no rows, and at one of no steps without sizes.
    # A row is added where there is none, and no row is added elsewhere.
    missing = (1 - rows).clamp_min(0)
    states = _padded(x.transpose(0, 1), 1, missing)
    if lengths is None:
        lengths = torch.full((x.shape[0],), 1, device=x.device) * x.shape[1]
    sizes = _padded(lengths.to(torch.int32), 0, missing)
    if first is not None:
        first = _padded(first, 1, missing)
    steps, batch = states.shape[0], states.shape[1]
    for layer in range(gru.num_layers):
        weights = [_weights(gru, layer, way) for way in range(directions)]
        start = None
        if first is not None:
            start = first[layer * directions : (layer + 1) * directions]
        out = torch.onnx.ops.symbolic(
            "GRU",
            (states, *(torch.stack(each) for each in zip(*weights, strict=True)), sizes, start),
            {
                "hidden_size": gru.hidden_size,
                "direction": "bidirectional" if directions == 2 else "forward",
                # torch multiplies the reset gate after the product, with a bias of its own.
                "linear_before_reset": 1,
            },
            dtype=x.dtype,
            shape=(steps, directions, batch, gru.hidden_size),
            version=14,
        )
        # 0 keeps an axis as it is: with a row added, it is not the size that torch knows.
        states = torch.onnx.ops.symbolic(
            "Reshape",
            (out.permute(0, 2, 1, 3), torch.tensor([0, 0, directions * gru.hidden_size])),
            dtype=x.dtype,
            shape=(steps, batch, directions * gru.hidden_size),
            version=14,
        )
    own = torch.onnx.ops.symbolic(
        "Slice",
        (states, torch.tensor([0]), rows, torch.tensor([1])),
        dtype=x.dtype,
        shape=states.shape,
        version=13,
    )
    return own.transpose(0, 1)


def _padded(x: Tensor, axis: int, missing: Tensor) -> Tensor:
    """`x` with `missing` [1] (int64) zeros more at the end of an axis; torch is told of none."""
    before = torch.zeros(x.dim() + axis, dtype=torch.int64)
    after = torch.zeros(x.dim() - axis - 1, dtype=torch.int64)
    padded: Tensor = torch.onnx.ops.symbolic(
        "Pad",
        (x, torch.cat([before, missing, after])),
        dtype=x.dtype,
        shape=x.shape,
        version=18,
    )
    return padded


def _weights(gru: nn.GRU, layer: int, way: int) -> tuple[Tensor, Tensor, Tensor]:
    """W [3H, I], R [3H, H] and both biases [6H] of a layer, gates in ONNX's order z, r, h."""
    name = f"l{layer}" + ("_reverse" if way else "")

    def ordered(kind: str) -> Tensor:
        reset, update, new = getattr(gru, f"{kind}_{name}").detach().chunk(3)
        return torch.cat([update, reset, new])

    bias = torch.cat([ordered("bias_ih"), ordered("bias_hh")])
    return ordered("weight_ih"), ordered("weight_hh"), bias


def gru_step(x: Tensor, hidden: Tensor, gru: nn.GRU) -> tuple[Tensor, Tensor]:
    """One step of all layers of a forward GRU, in plain operators.

    Args:
        x: shape [B, I].
        hidden: shape [B, layers, H]: rows come first, so that a beam can choose among them.
        gru: weights.

    Returns:
        The last layer's state [B, H] and all states [B, layers, H].
    """
    states = []
    for layer in range(gru.num_layers):
        before = hidden[:, layer]
        seen = nn.functional.linear(
            x, getattr(gru, f"weight_ih_l{layer}"), getattr(gru, f"bias_ih_l{layer}")
        )
        known = nn.functional.linear(
            before, getattr(gru, f"weight_hh_l{layer}"), getattr(gru, f"bias_hh_l{layer}")
        )
        (reset_x, update_x, new_x), (reset_h, update_h, new_h) = seen.chunk(3, 1), known.chunk(3, 1)
        reset, update = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + reset * new_h)
        x = new + update * (before - new)
        states.append(x)
    return x, torch.stack(states, 1)
