"""The installed package: a wheel and an sdist that work from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

CHECK = """
import importlib.util, sys
import xgrad as xg
assert importlib.util.find_spec("backends") is None, "a top-level package named backends was installed"
assert xg.grad(lambda x: x**3)(2.0).item() == 12
assert xg.nn.GRU(2, 3)(xg.zeros((4, 5, 2), dtype=xg.float32))[0].shape == (4, 5, 3)
assert xg.__version__ == "0.2.0", xg.__version__
print(xg.__file__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the sdist, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("build")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout, so what belongs to the project is not known")
    source = folder / "source"
    for name in filter(None, tracked.stdout.decode().split("\0")):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to(os.readlink(ROOT / name))
        elif (ROOT / name).exists():
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(source)],
        check=True,
        capture_output=True,
    )
    return folder / "dist"


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_installs_and_works_from_an_empty_folder(built: Path, pattern: str, tmp_path: Path) -> None:
    (archive,) = built.glob(pattern)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", archive], check=True, capture_output=True)
    (tmp_path / "empty").mkdir()
    result = subprocess.run(
        [python, "-c", CHECK], cwd=tmp_path / "empty", capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert str(tmp_path / "venv") in result.stdout


@pytest.mark.slow
def test_the_sdist_holds_what_the_checkout_has(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    files = {name for name in tracked if name and (ROOT / name).is_file()}
    assert files <= inside, files - inside


@pytest.mark.slow
def test_the_wheel_holds_what_it_should(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        "xgrad/py.typed",
        "xgrad/backends/cpu/backend.py",
        "xgrad/ops/table.py",
        "xgrad/nn/recurrent.py",
        "xgrad/viz/page.html",
    } <= set(names)
    assert not [name for name in names if name.startswith(("backends/", "tests/"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)
