"""The gate: what it refuses, what it says, and the project's own kernels."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from seqvae.errors import UserError
from seqvae.kernels.aot import build, gate, machine_code, registry
from seqvae.kernels.aot.compile import Kernel, kernel_from
from tests.kernels import toy

OUT = toy.ROOT / "build" / "cubins"

GOOD = Kernel(
    name="toy",
    op="toy",
    arch=90,
    target="sm_90a",
    entry="toy",
    dtype="bf16",
    warps=4,
    stages=3,
    shared=1024,
    scratch=2,
    parameters=(),
    constants={},
    elements=1024,
    wants_tensor_cores=True,
    registers=40,
    stack=0,
    instructions=160,
    tensor_cores=2,
    spills=0,
    file="toy_sm90.cubin",
    sha256="",
    key="",
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stack": 8}, "8 bytes of stack and 0 spilling instructions"),
        ({"spills": 3}, "0 bytes of stack and 3 spilling instructions"),
        ({"shared": 227 * 1024 + 1}, "227 KB of shared memory, sm_90 has 227 KB"),
        ({"shared": 164 * 1024, "arch": 80}, "164 KB of shared memory, sm_80 has 163 KB"),
        ({"registers": 129, "warps": 16}, "16 warps of 129 registers do not fit"),
        ({"tensor_cores": 0}, "no tensor-core instruction"),
    ],
)
def test_hard_limits(change: dict[str, int], message: str) -> None:
    assert gate.limits(GOOD) == []
    (problem,) = gate.limits(dataclasses.replace(GOOD, **change))  # type: ignore[arg-type]
    assert message in problem
    assert problem.startswith("toy_sm")


def test_instructions_per_element_count_every_thread() -> None:
    # 160 instructions of 128 threads for 1024 elements.
    assert GOOD.per_element == 20.0
    assert gate.of(GOOD) == gate.Budget(40, 1024, 20.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"registers": 41}, "registers 40 -> 41"),
        ({"shared": 1040}, "shared memory 1024 -> 1040 bytes"),
        ({"instructions": 165}, "instructions per element 20.0 -> 20.625"),
        ({"instructions": 162}, None),  # 1.25 %: rewording
        ({"registers": 38, "shared": 0, "instructions": 100}, None),
    ],
)
def test_a_worse_kernel_names_old_and_new(change: dict[str, int], message: str | None) -> None:
    worse = dataclasses.replace(GOOD, **change)  # type: ignore[arg-type]
    problems = gate.compare(worse, gate.Budget(40, 1024, 20.0))
    expected = [] if message is None else [f"toy_sm90: {message}; {gate.ACCEPT}"]
    assert problems == expected


@toy.needs_triton
def test_budgets_are_stored_and_belong_to_a_compiler(tmp_path: Path) -> None:
    path = tmp_path / "gates" / "budgets.json"
    with pytest.raises(UserError, match="--update-budgets"):
        gate.check([GOOD], path)
    gate.update([GOOD], path)
    assert gate.check([GOOD], path) == []
    other = dataclasses.replace(GOOD, name="other")
    (problem,) = gate.check([GOOD, other], path)
    assert problem == f"other_sm90: no stored budget; {gate.ACCEPT}"
    # Some kernels: the budgets of the rest stay. All: they go.
    gate.update([other], path, whole=False)
    assert set(gate.load(path)[1]) == {"toy_sm90", "other_sm90"}
    gate.update([other], path)
    assert set(gate.load(path)[1]) == {"other_sm90"}
    # Another compiler makes other code: only the hard limits hold.
    path.write_text(path.read_text().replace('"triton": "', '"triton": "0'))
    worse = dataclasses.replace(other, instructions=999)
    assert gate.check([worse], path) == []
    assert len(gate.check([dataclasses.replace(worse, stack=8)], path)) == 1


def test_padding_is_not_counted() -> None:
    listing = """\
.L_x_2:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/               @P1 BRA `(.L_x_2) ;
        /*0030*/             @!UP0 UIADD3 UR4, UR4, 0x1, URZ ;
        /*0040*/                   EXIT ;
.L_x_0:
        /*0050*/                   BRA `(.L_x_0);
        /*0060*/                   NOP;
"""
    counted = machine_code.opcodes(listing)
    assert counted == {"LDC": 1, "LDG": 1, "BRA": 1, "UIADD3": 1, "EXIT": 1}


@toy.needs_triton
def test_machine_code_is_read(tmp_path: Path) -> None:
    shutil.copy(toy.cubins() / "product_fp16_sm90.cubin", tmp_path)
    code = machine_code.inspect(tmp_path / "product_fp16_sm90.cubin")
    assert code.tensor_cores and code.instructions and code.spills == 0 == code.stack
    (tmp_path / "broken.cubin").write_bytes(b"not an ELF file")
    with pytest.raises(RuntimeError, match=r"broken\.cubin"):
        machine_code.inspect(tmp_path / "broken.cubin")


@toy.needs_triton
def test_a_spilling_kernel_does_not_pass(tmp_path: Path) -> None:
    # Sums of 64 x 64 products in one warp, without tensor cores: more than the 255 registers of a thread.
    greedy = toy.SOURCE.replace("tl.load(b + at))", 'tl.load(b + at), input_precision="ieee")')
    for old, new in (("fp16", "fp32"), ('{"N": 128}', '{"N": 64}'), ("{}, 8, 3)", "{}, 1, 3)")):
        assert old in greedy
        greedy = greedy.replace(old, new)
    (toy.workplace() / "greedy_kernels.py").write_text(greedy)
    (kernel,) = build.build(
        tmp_path, [90], modules=["greedy_kernels"], names=["product_fp32"], jobs=1
    )
    problems = gate.limits(kernel)
    assert any("spilling instructions" in problem for problem in problems)
    assert any("no tensor-core instruction" in problem for problem in problems)


def representatives() -> list[str]:
    """One variant a kernel: bfloat16 with 64 dimensions where there is one. All take minutes to compile."""
    chosen: dict[object, tuple[int, str]] = {}
    for _, _, variant in registry.everything([90]):
        name, function = variant.name, variant.function
        usual = ("bf16" in name) + ("d64" in name)
        kernel = (function.__module__, function.__name__)
        best = chosen.setdefault(kernel, (usual, name))
        if usual > best[0]:
            chosen[kernel] = (usual, name)
    return [name for _, name in chosen.values()]


def gated(names: list[str] | None) -> None:
    kernels = build.build(OUT, names=names)
    problems = gate.check(kernels)
    assert not problems, "\n".join(problems)


@toy.needs_triton
@pytest.mark.skipif(not registry.modules(), reason="no kernels yet")
def test_representative_kernels_pass_the_gate() -> None:
    gated(representatives())


@toy.needs_triton
@pytest.mark.slow
@pytest.mark.skipif(not registry.modules(), reason="no kernels yet")
def test_all_kernels_pass_the_gate() -> None:
    gated(None)


def test_rows_of_the_index_are_read_back() -> None:
    import json

    assert kernel_from(json.loads(json.dumps(GOOD.json()))) == GOOD
    with pytest.raises(TypeError):
        kernel_from({**GOOD.json(), "another": 1})
