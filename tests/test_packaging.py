"""What pip installs: one top-level package, with kernels and export inside it."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HAS_BACKEND = importlib.util.find_spec("scikit_build_core") is not None
needs_backend = pytest.mark.skipif(not HAS_BACKEND, reason="scikit-build-core is not installed")


def build(what: str, source: Path, out: Path) -> Path:
    """Call the build backend's hook in a fresh process, without CMake, and return the file it made."""
    code = (
        "import scikit_build_core.build as backend\n"
        f"print(backend.build_{what}({str(out)!r}, {{'wheel.cmake': 'false'}}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.strip().splitlines()[-1]


def package_files(names: list[str]) -> set[str]:
    return {n for n in names if ".dist-info/" not in n and not n.endswith("/")}


@needs_backend
def test_wheel_holds_only_seqvae(tmp_path: Path) -> None:
    wheel = build("wheel", ROOT, tmp_path)
    files = package_files(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in files} == {"seqvae"}
    assert {"seqvae/py.typed", "seqvae/errors.py", "seqvae/kernels/native/__init__.py"} <= files
    tables = {n for n in files if n.startswith("seqvae/kernels/launch_table/")}
    assert len(tables) == len(list((ROOT / "kernels/launch_table").glob("*.json")))
    code = (".py", ".typed", ".html", ".css", ".js", ".svg")
    unwanted = {n for n in files - tables if not n.endswith(code)}
    assert not unwanted, f"not meant for users: {sorted(unwanted)}"


@needs_backend
def test_an_installed_wheel_claims_no_common_names(tmp_path: Path) -> None:
    zipfile.ZipFile(build("wheel", ROOT, tmp_path)).extractall(tmp_path / "site")
    code = (
        "import sys, importlib.util as u\n"
        f"sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "assert all(u.find_spec(f'seqvae.{n}') for n in ('errors', 'kernels.native'))\n"
        "assert not any(u.find_spec(n) for n in ('kernels', 'export', 'tests'))\n"
    )
    # Isolated and without site-packages: an editable install puts the checkout on the path.
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, cwd=tmp_path)


@needs_backend
def test_sdist_builds_the_same_wheel(tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / sdist.name.removesuffix(".tar.gz")
    top = {path.name for path in source.iterdir()}
    assert {"seqvae", "kernels", "CMakeLists.txt", "pyproject.toml", "LICENSE"} <= top
    assert not {"tests", "benchmarks", "build", "data", "runs", ".venv", ".ci"} & top
    direct = zipfile.ZipFile(build("wheel", ROOT, tmp_path))
    indirect = zipfile.ZipFile(build("wheel", source, tmp_path / "again"))
    assert package_files(direct.namelist()) == package_files(indirect.namelist())


def test_a_bare_checkout_imports_from_anywhere(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, seqvae.kernels.native, seqvae.errors\n"
        "assert u.find_spec('seqvae.export') is not None\n"
        f"assert seqvae.errors.__file__.startswith({str(ROOT)!r}), seqvae.errors.__file__\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)


def installed() -> bool:
    try:
        importlib.metadata.version("seqvae")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.skipif(not installed(), reason="seqvae is not installed, only on the path")
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_an_installed_package_has_its_native_library() -> None:
    from seqvae.kernels import native

    assert native.version() == importlib.metadata.version("seqvae")
