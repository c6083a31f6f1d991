"""Compile the Triton kernels to machine code for NVIDIA GPUs. No GPU is needed, only Triton.

    python -m seqvae.kernels.aot --out build/cubins               sm_80 and sm_90
    python -m seqvae.kernels.aot --out build/cubins --arch 90 120
    cmake -S . -B build/aot -DSEQVAE_CUBINS=$PWD/build/cubins     one library with the machine code in it

    python -m seqvae.kernels.aot --gate                           check registers, spills, instructions
    python -m seqvae.kernels.aot --update-budgets                 accept what the gate complains about

Only what changed is compiled again. Two builds with the same Triton give the same bytes.
"""

import argparse
import sys
from pathlib import Path

from seqvae.errors import UserError
from seqvae.kernels.aot import build, gate, registry
from seqvae.kernels.aot.compile import CompileError, Kernel

OUT = Path("build/cubins")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        "python -m seqvae.kernels.aot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    found.add_argument(
        "--arch",
        type=int,
        nargs="+",
        default=list(build.ARCHS),
        metavar="N",
        help="compute capabilities, 80 = Ampere, 90 = Hopper, 100 and 120 = Blackwell; default: 80 90. "
        "Code for 80 also runs on 86 and 89; code for 90 and newer runs on exactly that one",
    )
    found.add_argument("--jobs", type=int, default=2, metavar="N", help="processes; default: 2")
    found.add_argument("--only", nargs="+", metavar="NAME", help="these variants alone")
    found.add_argument("--list", action="store_true", help="name the variants and stop")
    found.add_argument("--gate", action="store_true", help="compare with limits and budgets")
    found.add_argument(
        "--update-budgets", action="store_true", help="make the present figures the budgets"
    )
    return found


def main() -> int:
    """Build; the exit code is 1 if a kernel does not compile or fails the gate, 2 for a mistake in the call."""
    arguments = parser().parse_args()
    try:
        if arguments.list:
            for module, arch, variant in registry.everything(arguments.arch):
                print(f"{variant.name} sm_{arch} ({module})")
            return 0
        kernels = build.build(
            arguments.out,
            arguments.arch,
            jobs=arguments.jobs,
            names=arguments.only,
            progress=_show,
        )
        _summary(kernels, arguments.out)
        if arguments.update_budgets:
            print(f"wrote {gate.update(kernels, whole=arguments.only is None)}")
        problems = gate.check(kernels) if arguments.gate or arguments.update_budgets else []
    except (UserError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except CompileError as error:
        print(f"does not compile:\n{error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


def _show(count: int, total: int, name: str) -> None:
    print(f"[{count}/{total}] {name}", flush=True)


def _summary(kernels: list[Kernel], folder: Path) -> None:
    size = sum((folder / kernel.file).stat().st_size for kernel in kernels)
    print(f"{len(kernels)} kernels, {size / 1e6:.1f} MB in {folder}")


if __name__ == "__main__":
    sys.exit(main())
