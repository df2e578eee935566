"""Exit codes and error messages, through `main(argv)`: the test runner of Typer sees neither."""

import json
import os
import subprocess
import sys
import time

import pytest

from odise_cli import __version__
from odise_cli.cli.app import main

HEAVY = ("torch", "torchvision", "diffusers", "transformers", "open_clip", "numpy", "PIL")


def python(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | env,
        timeout=60,
    )


def failing(exception: str, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`odise fail` in a process of its own: a command that raises."""
    return python(
        "import sys, typer\n"
        "from odise_cli import errors\n"
        "from odise_cli.cli import options\n"
        "from odise_cli.cli.app import app, main\n"
        "@app.command()\n"
        "def fail(ctx: typer.Context, log_format: options.LogFormat = 'text') -> None:\n"
        "    ctx.obj.configure(log_format=log_format)\n"
        f"    raise {exception}\n"
        f"sys.exit(main(['fail', *{list(argv)!r}]))\n",
        **env,
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("UsageError", 2),
        ("SettingsChangedError", 2),
        ("NoImagesError", 4),
        ("MissingDataError", 5),
        ("CheckpointError", 5),
        ("TryAgainError", 75),
        ("ImageError", 3),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code):
    done = failing(f"errors.{error}('preds: it is locked. Expected one run. Wait.')")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "error: preds: it is locked. Expected one run. Wait.\n"


def test_an_error_as_a_json_log_line():
    done = failing("errors.UsageError('--vocab: nothing')", "--log-format", "json")
    assert json.loads(done.stderr)["message"] == "--vocab: nothing"
    assert done.returncode == 2


def test_a_bug_says_that_it_is_one():
    done = failing("KeyError('stem')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: KeyError: 'stem'. This is a bug in odise. "
        "Run it again with ODISE_DEBUG=1 and report what that prints.\n"
    )


@pytest.mark.parametrize("error", ["errors.UsageError('here')", "KeyError('here')"])
def test_odise_debug_shows_where(error):
    done = failing(error, ODISE_DEBUG="1")
    assert "Traceback (most recent call last)" in done.stderr
    assert "in fail" in done.stderr


def test_ctrl_c_outside_a_run():
    done = failing("KeyboardInterrupt")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["segmant"], "No such command 'segmant'. Did you mean 'segment'?\nTry 'odise --help'."),
        (["segment", "--vocabs", "x"], "No such option: --vocabs"),
        (["segment", "--limit", "many"], "Invalid value for '--limit': "),
        (["segment", "--limit"], "Option '--limit' requires an argument."),
        (["segment", "--log-format", "xml"], "Invalid value for '--log-format': "),
        (["models"], "Missing command.\nTry 'odise models --help'."),
        (["models", "pull"], "Missing argument 'MODEL'."),
        (["segment", "imgs"], "--vocab: no vocabulary was given."),
        (["segment", "--vocab", "ade150"], "SOURCES: no images were given."),
        (["segment", "imgs", "--shard", "5/4", "--vocab", "x"], "--shard: 5/4 is no part."),
        (["segment", "imgs", "--vocab", "x", "--batch-size", "0"], "--batch-size: 0 is too small."),
        (["segment", "imgs", "--vocab", "x", "--alpha", "2"], "--alpha: 2.0 is out of range."),
        (["segment", "imgs", "--vocab", "x", "--precision", "fp8"], "--precision: 'fp8' is unkno"),
    ],
)
def test_usage_errors_name_the_option_and_exit_2(argv, message, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert "Traceback" not in err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"odise {__version__}\n", "")


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_help_lists_the_commands(argv, capsys):
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert all(command in out for command in ("segment", "merge", "models", "vocab"))
    assert err == ""


@pytest.mark.parametrize("argv", [["--help"], ["segment", "--help"], ["--version"]])
def test_help_is_fast_and_imports_nothing_heavy(argv):
    script = (
        "import sys\n"
        "from odise_cli.cli.app import main\n"
        f"code = main({argv!r})\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'{code} {loaded}' if code or loaded else 0)\n"
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = python(script)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    # The best of three: a busy machine makes every program slow now and then.
    assert min(seconds) < 0.5


def test_python_dash_m_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "odise_cli", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"odise {__version__}\n")


def test_names_that_are_no_text_are_printed_nevertheless(tmp_path):
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.toml")
    done = subprocess.run(
        [sys.executable, "-m", "odise_cli", "segment", "--config", name],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "caf\\udce9.toml cannot be read (No such file or directory)" in done.stderr


def test_shells_can_complete():
    done = subprocess.run(
        [sys.executable, "-m", "odise_cli"],
        env=os.environ
        | {"_ODISE_COMPLETE": "complete_bash", "COMP_WORDS": "odise segm", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["segment"]


@pytest.mark.parametrize(
    ("env", "said"), [({}, "the interpreter ends\n"), ({"TORCHELASTIC_RUN_ID": "none"}, "")]
)
def test_processes_of_torchrun_leave_without_the_interpreters_end(env, said):
    script = (
        "import atexit\n"
        "from odise_cli.cli.app import leave\n"
        "atexit.register(print, 'the interpreter ends')\n"
        "print('done', end=' ')\n"
        "leave(3)"
    )
    done = python(script, **env)
    assert (done.returncode, done.stdout) == (3, f"done {said}")
