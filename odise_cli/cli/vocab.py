"""`odise vocab list|show|lint`: which label sets there are, and what is in a vocabulary."""

from dataclasses import asdict
from typing import Annotated

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console

app = typer.Typer(help="List the bundled label sets, show and check vocabularies.")

_Spec = Annotated[
    str,
    typer.Argument(
        metavar="VOCAB", help="A vocabulary file, a bundled name or a list such as 'cat; sky'."
    ),
]


@app.command("list")
def list_(ctx: typer.Context, json: options.Json = False) -> None:
    """List the label sets that come with the package."""
    from odise_cli.commands.vocab import list_vocabularies

    console: Console = ctx.obj
    console.configure(is_json=json)
    found = list_vocabularies()
    text = "\n".join(summaries.vocabulary_text(summary) for summary in found)
    console.result([asdict(summary) for summary in found], text)


@app.command()
def show(ctx: typer.Context, spec: _Spec, json: options.Json = False) -> None:
    """Print a vocabulary with the ids and colours it gets, as text or as COCO categories."""
    from odise_cli.commands import vocab

    console: Console = ctx.obj
    console.configure(is_json=json)
    categories = vocab.show(spec).categories
    text = "\n".join(summaries.category_text(category) for category in categories)
    console.result([summaries.category_to_coco(category) for category in categories], text)


@app.command()
def lint(ctx: typer.Context, spec: _Spec, json: options.Json = False) -> None:
    """Check a vocabulary; what makes it unusable is an error, the rest is printed."""
    from odise_cli.commands import vocab

    console: Console = ctx.obj
    console.configure(is_json=json)
    warnings = vocab.lint(spec, count_tokens=_count_tokens)
    console.result({"warnings": warnings}, "\n".join(warnings) or f"{spec}: no warnings.")


def _count_tokens(text: str) -> int:
    # Only words that may be too long are counted, so most lists never wait for this import.
    from odise_cli.model.clip import count_tokens

    return count_tokens(text)
