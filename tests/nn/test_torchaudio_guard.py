"""torchaudio is imported whatever build of torch is beside it, and left as it was."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(code: str, *paths: Path) -> str:
    """What a fresh process prints."""
    code = f"import sys\nsys.path[:0] = {[str(path) for path in (*paths, ROOT)]!r}\n{code}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_the_real_one() -> None:
    found = run(
        "from seqvae.nn.torchaudio_guard import torchaudio\n"
        "module = torchaudio()\n"
        "assert torchaudio() is module is sys.modules['torchaudio']\n"
        "extension = sys.modules['torchaudio._extension']\n"
        "assert extension.__file__.startswith(module.__path__[0])\n"
        "loader = sys.modules['torchaudio._extension.utils']._load_lib\n"
        "assert loader.__name__ == '_load_lib'\n"
        "import torch\n"
        "print(module.transforms.Resample(2, 1)(torch.zeros(1, 8)).shape)"
    )
    assert found == "torch.Size([1, 4])"


def test_what_needs_the_compiled_part_says_so_itself() -> None:
    found = run(
        "import torch\n"
        "from seqvae.nn.torchaudio_guard import torchaudio\n"
        "module = torchaudio()\n"
        "if sys.modules['torchaudio._extension']._IS_ALIGN_AVAILABLE: sys.exit(print('compiled'))\n"
        "try: module.functional.forced_align(torch.zeros(1, 2, 2), torch.zeros(1, 1))\n"
        "except RuntimeError as error: print(error)"
    )
    assert "alignment" in found or found == "compiled"


def test_one_that_works_is_not_touched(tmp_path: Path) -> None:
    package = tmp_path / "torchaudio"
    (package / "_extension").mkdir(parents=True)
    (package / "__init__.py").write_text("from torchaudio import _extension\n")
    (package / "_extension" / "__init__.py").write_text(
        "from torchaudio._extension.utils import _load_lib\nloaded = _load_lib('_torchaudio')\n"
    )
    (package / "_extension" / "utils.py").write_text("def _load_lib(name): return True\n")
    code = (
        "from seqvae.nn.torchaudio_guard import torchaudio\nprint(torchaudio()._extension.loaded)"
    )
    assert run(code, tmp_path) == "True"


@pytest.mark.parametrize(
    ("body", "message"),
    [(None, "pip install 'seqvae[speech]'"), ("raise OSError('libcudart')", "libcudart")],
)
def test_absent_or_broken(tmp_path: Path, body: str | None, message: str) -> None:
    if body is not None:
        (tmp_path / "torchaudio.py").write_text(body)
    block = "sys.modules['torchaudio'] = None\n" if body is None else ""
    found = run(
        f"{block}from seqvae.errors import UserError\n"
        "from seqvae.nn.torchaudio_guard import torchaudio\n"
        "try: torchaudio()\n"
        "except UserError as error: print(error)",
        tmp_path,
    )
    assert message in found
