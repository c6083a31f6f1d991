"""The shape of the code base, checked: imports go one way, files stay small, serving needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("seqvae", "kernels", "export")
    # seqvae/kernels and seqvae/export are links to folders that are listed themselves.
    for path in (ROOT / folder).rglob("*.py")
    if not {"kernels", "export"} & set(path.relative_to(ROOT / folder).parts[:-1])
)
# Each layer may import itself and what stands before it; parts of one layer may import each other.
LAYERS = [
    # Framing of sound is plain numbers that networks and data agree on.
    {"errors", "data.speech.mel_settings"},
    {"kernels"},
    {"ops"},
    {"nn"},
    {
        "data",
        "batch",
        "frames_batch",
        "schedules",
        "posteriors",
        "priors",
        "likelihoods",
        "encoders",
        "decoders",
        "vocoders",
    },
    {
        *(
            "objectives",
            "conditioning",
            "latent",
            "latent_model",
            "model",
            "model_frames",
            "given_model",
        ),
        *(
            "config",
            "config_json",
            "config_frames",
            "config_speech",
            "preset_frames",
            "preset_speech",
        ),
    },
    {"training", "evaluation", "tasks"},
    {"export"},
    {"serving"},
    {
        *(
            "cli",
            "cli_train",
            "cli_tasks",
            "cli_evaluate",
            "cli_frames",
            "cli_export",
            "cli_serve",
            "cli_prepare",
            "cli_speech",
        ),
        *("cli_vocoder", "cli_molecules", "cli_said", "__main__"),
    },
]
TORCH_FREE = (
    "seqvae.data",
    "seqvae.errors",
    "seqvae.export.bundle",
    "seqvae.export.bundle_frames",
    "seqvae.export.bundle_graph",
    "seqvae.export.bundle_json",
    "seqvae.export.bundle_manifest",
    "seqvae.export.bundle_sequences",
    "seqvae.export.bundle_sounds",
    "seqvae.export.bundle_speech",
    "seqvae.export.bundle_writer",
    "seqvae.serving",
    "seqvae.tasks.chunks",
    "seqvae.tasks.recording",
    "seqvae.tasks.resampled",
)
MAX_LINES = 400


def module_of(path: Path) -> str:
    """kernels/native/__init__.py -> seqvae.kernels.native: the folder is the import path."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "seqvae" else ("seqvae", *parts)
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imports_of(path: Path) -> set[str]:
    """Every module of the project that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            whole = node.module or ""
            found |= {f"{whole}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("seqvae.")}


def layer_of(module: str) -> int | None:
    """Position in LAYERS; None for a name of the package's own door, ``from seqvae import load``."""
    names = module.split(".")[1:]
    for length in range(len(names), 0, -1):  # a module named by itself goes before its folder
        part = ".".join(names[:length])
        for level, parts in enumerate(LAYERS):
            if part in parts:
                return level
    return None


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_torch_free(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in TORCH_FREE)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_go_one_way(path: Path) -> None:
    module = module_of(path)
    if module == "seqvae":
        pytest.skip("the public door names every layer")
    here = layer_of(module)
    assert here is not None, f"{module} belongs to no layer: add it to LAYERS"
    backwards = {n for n in imports_of(path) if (level := layer_of(n)) is None or level > here}
    assert not backwards, f"{module} must not import {sorted(backwards)}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_file_is_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{lines} lines: split it by concept"


@pytest.mark.parametrize("folder", ["kernels", "export"])
def test_top_folders_are_namespaces(folder: str) -> None:
    # With an __init__.py here, a checkout as the working directory hides other packages' `kernels`.
    assert not (ROOT / folder / "__init__.py").exists()
    assert (ROOT / "seqvae" / folder).resolve() == ROOT / folder


def test_importing_the_package_is_lazy() -> None:
    code = "import sys, seqvae; assert 'torch' not in sys.modules, 'import seqvae loads torch'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_bare_gpu_machine_can_run_the_benchmarks() -> None:
    """Such a machine has torch, triton, numpy and pytest; `PYTHONPATH=.` is all that is installed."""
    absent = ("matplotlib", "pyarrow", "sacrebleu", "safetensors", "sentencepiece", "tqdm", "tyro")
    needed = (
        "benchmarks.end_to_end",
        "benchmarks.generation",
        "benchmarks.importance",
        "benchmarks.kernels",
    )
    code = (
        "import sys, importlib\n"
        f"sys.modules.update(dict.fromkeys({absent}))\n"
        f"for name in {needed}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_torch_free_parts_import_with_torch_blocked() -> None:
    modules = sorted(module for module in MODULES if is_torch_free(module))
    assert "seqvae.errors" in modules
    # A None in sys.modules makes `import torch` raise ImportError.
    code = (
        "import sys, importlib\n"
        "sys.modules['torch'] = None\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
