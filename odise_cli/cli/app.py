"""The command line: its commands, and the one place where errors become exit codes.

Exit codes are those of `errors.py`, and besides them 1 for a bug, 130 for Ctrl-C, 141 for a
pipe that nobody reads and 143 for SIGTERM.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Never

import typer

from odise_cli import __version__
from odise_cli.cli import draw, evaluate, export, merge, models, segment, train, vocab
from odise_cli.cli.console import Console
from odise_cli.errors import OdiseError
from odise_cli.host_memory import keep_freed_memory

app = typer.Typer(
    name="odise",
    help="Cut every object and region out of photographs and name it with your own words.",
    pretty_exceptions_enable=False,
)
app.command()(segment.segment)
app.command()(evaluate.evaluate)
app.command()(merge.merge)
app.command()(train.train)
app.command()(export.export)
app.command()(draw.draw)
app.add_typer(models.app, name="models")
app.add_typer(vocab.app, name="vocab")


def _print_version(ctx: typer.Context, is_wanted: bool) -> None:
    if is_wanted:
        console: Console = ctx.obj
        console.data(f"odise {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        console: Console = ctx.obj
        console.data(ctx.get_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run `odise` with these arguments (the process's own by default) and return the exit code."""
    with Console() as console:
        try:
            code = app(
                sys.argv[1:] if argv is None else list(argv),
                prog_name="odise",
                obj=console,
                standalone_mode=False,
            )
        except OdiseError as error:
            console.error(str(error))
            return error.exit_code
        except typer.TyperException as error:
            console.error(_usage_text(error))
            return error.exit_code
        except Exception as error:
            console.error(
                f"{type(error).__name__}: {error}. This is a bug in odise. "
                "Run it again with ODISE_DEBUG=1 and report what that prints."
            )
            return 1
        return code or 0


def entry_point() -> Never:
    """`odise` as the shell calls it."""
    for stream in (sys.stdout, sys.stderr):
        # File names need not be valid text; saying one must not end a run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Here, since it concerns the whole process, and threads that are not yet there.
    keep_freed_memory()
    leave(main())


def leave(code: int) -> Never:
    """End the process; as one of several that torchrun started, without Python's own end.

    DistributedDataParallel leaves Gloo's threads behind, whatever is destroyed. One that lets go
    of its last tensor while the interpreter ends aborts this process, and torchrun the others.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _usage_text(error: typer.TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    if context is None:
        return error.format_message()
    return f"{error.format_message()}\nTry '{context.command_path} --help'."
