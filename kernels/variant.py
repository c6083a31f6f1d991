"""One kernel with everything fixed that the compiler fixes: what the ahead-of-time build compiles."""

from dataclasses import dataclass, field
from typing import Any

from seqvae.kernels.launch import Launch


@dataclass(frozen=True)
class Variant:
    """A Triton function, its argument types and its constants.

    Attributes:
        op: name of the operation, as in the launch table.
        name: unique among all variants, a C identifier, e.g. "gaussian_latent_forward_bf16_d64_rows".
        function: the ``triton.jit`` function.
        signature: type of every parameter, in order: "*bf16", "*fp32", "*i64", "i32", "i64", "fp32" or "constexpr".
        constants: value of every parameter whose type is "constexpr".
        aligned: parameters that are multiples of 16 (pointers: of 16 bytes).
        launch: row of the launch table.
        elements: elements a program handles, for instructions per element.
        tensor_cores: whether the machine code must hold tensor-core instructions.
    """

    op: str
    name: str
    function: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    aligned: tuple[str, ...]
    launch: Launch
    elements: int
    tensor_cores: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
