"""The rules that hold the house together; see CONTRIBUTING.md."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from odise_cli.cli.app import main

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "odise_cli"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
TENSOR_LAYERS = (
    *("model", "transfers", "mask_grid", "postprocess", "placement", "engine"),
    *("training", "export"),
)


def sources(*folders: str) -> list[Path]:
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found, folders
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def test_imports_point_down():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_is_too_long():
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources("odise_cli", "tests", "ablations", "benchmarks")
    }
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_too_long_without_a_reason():
    too_long = {}
    for path in sources("odise_cli", "tests", "ablations", "benchmarks"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in nodes(path, ast.FunctionDef, ast.AsyncFunctionDef):
            body = lines[node.lineno - 1 : node.end_lineno]
            if len(body) > MAX_FUNCTION_LINES and "# long because: " not in "\n".join(body):
                too_long[f"{name_of(path)}:{node.lineno} {node.name}"] = len(body)
    assert too_long == {}


def test_only_the_console_prints():
    printing = []
    for path in sources("odise_cli"):
        for node in nodes(path, ast.Name, ast.Attribute):
            text = ast.unparse(node)
            if text in ("print", "sys.stdout", "sys.stderr", "typer.echo", "typer.secho"):
                printing.append((name_of(path), text))
    # The process's own entry sets how its streams write what is no text.
    allowed = {"odise_cli/cli/console.py", "odise_cli/cli/app.py"}
    assert {name for name, _ in printing} <= allowed
    assert ("odise_cli/cli/app.py", "print") not in printing


def test_only_the_app_catches_odise_errors():
    catching = set()
    for path in sources("odise_cli"):
        for node in nodes(path, ast.ExceptHandler):
            caught = "everything" if node.type is None else ast.unparse(node.type)
            if re.search(r"\b(OdiseError|everything)\b", caught):
                catching.add(name_of(path))
    assert catching == {"odise_cli/cli/app.py"}


def test_tensors_stop_at_the_engine():
    # ruff's TID253 refuses the import statements; this proves that no detour brings them back.
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources("odise_cli")
        if path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        not in (*TENSOR_LAYERS, "commands")
        and path.name != "__main__.py"
    ]
    assert {"odise_cli.cli.app", "odise_cli.config", "odise_cli.structures"} <= set(modules)
    heavy = ("torch", "torchvision", "diffusers", "transformers", "open_clip")
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = [heavy for heavy in {heavy!r} if heavy in sys.modules]\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["odise_cli.engine", "odise_cli.postprocess"])
def test_tensor_modules_can_be_imported_first(module):
    # The guard for a torchvision that does not fit has to run before its first import.
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def documented_commands() -> list[str]:
    """The `odise` commands of the README's shell blocks, continued lines joined."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = (line for block in blocks for line in block.replace("\\\n", " ").splitlines())
    return [line for line in lines if line.startswith("odise ")]


def test_the_readme_shows_commands():
    assert documented_commands() != []


@pytest.mark.parametrize("line", documented_commands())
def test_the_command_line_accepts_what_the_readme_shows(line, capsys):
    words = shlex.split(line, comments=True)
    operators = [i for i, word in enumerate(words) if re.fullmatch(r"[|&;<>]+|\d?>.*", word)]
    argv = words[1 : operators[0] if operators else None]
    # --help is answered before a command runs and after its flags are parsed.
    code = main(argv if "--version" in argv else [*argv, "--help"])
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", ".ci/run"]
)
def test_what_every_visitor_looks_for_is_there(name):
    assert (ROOT / name).read_text(encoding="utf-8").strip()


def test_ci_runs_what_everybody_runs():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make check test"
