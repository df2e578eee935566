"""Each state in a process of its own: what torch's operator registry holds cannot be taken back."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

IS_DEFINED = """
import torch
def is_defined(name):
    return torch._C._dispatch_has_kernel(f"torchvision::{name}") or any(
        schema.name == f"torchvision::{name}" for schema in torch._C._jit_get_all_schemas()
    )
"""


def run(code: str, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a fresh process; `path` comes before everything that is installed."""
    prelude = "" if path is None else f"import sys; sys.path.insert(0, {str(path)!r})\n"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", prelude + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_everything_that_looks_for_torchvision_can_be_imported() -> None:
    result = run(
        "import odise_cli.model\n"
        "import torchvision, torchvision.transforms, torchvision.transforms.v2\n"
        "from diffusers import UNet2DConditionModel\n"
        "import open_clip\n"
        "from transformers import CLIPTextModel\n"
        "from PIL import Image\n"
        "image = Image.new('RGB', (8, 6))\n"
        "print(torchvision.transforms.Resize(3)(image).size, UNet2DConditionModel.__name__)\n"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "(4, 3) UNet2DConditionModel"


def guard_alone(code: str) -> str:
    """Code that runs with the guard's module as `guard`, before the package has called it."""
    package = importlib.util.find_spec("odise_cli")
    assert package is not None
    assert package.origin is not None
    guard = Path(package.origin).parent / "model" / "torchvision_guard.py"
    return (
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('guard', {str(guard)!r})\n"
        "guard = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(guard)\n"
        f"{IS_DEFINED}\n{code}"
    )


def test_guard_does_nothing_where_torchvision_works_unaided() -> None:
    works_unaided = run("import torchvision").returncode == 0
    result = run(guard_alone("print(guard.repair_torchvision())"))
    assert result.stdout.strip() == str(not works_unaided), result.stderr


def fake_torchvision(folder: Path, library: bytes | None) -> Path:
    """A torchvision whose extension library is any other library, damaged, or missing."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").touch()
    if library is not None:
        (package / "_C.so").write_bytes(library)
    return folder


def loadable_library() -> bytes:
    """A shared library that any Python here can load."""
    spec = importlib.util.find_spec("PIL._imagingmath")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_bytes()


REPORT = "print(guard.repair_torchvision(), is_defined('nms'), is_defined('qnms'))"


def test_nothing_is_defined_where_the_extension_loads(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, loadable_library())
    result = run(guard_alone(REPORT), path=path)
    assert result.stdout.strip() == "False False False", result.stderr


@pytest.mark.parametrize("library", [b"not a library", None], ids=["damaged", "missing"])
def test_schemas_are_defined_where_it_does_not(tmp_path: Path, library: bytes | None) -> None:
    path = fake_torchvision(tmp_path, library)
    result = run(guard_alone(REPORT), path=path)
    assert result.stdout.strip() == "True True True", result.stderr


def test_nothing_is_defined_after_torchvision_was_imported(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, None)
    result = run(guard_alone(f"import torchvision\n{REPORT}"), path=path)
    assert result.stdout.strip() == "False False False", result.stderr


def test_nothing_is_defined_without_torchvision() -> None:
    hide = "guard.importlib.util.find_spec = lambda name: None\n"
    result = run(guard_alone(hide + REPORT))
    assert result.stdout.strip() == "False False False", result.stderr
