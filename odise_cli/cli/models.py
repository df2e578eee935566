"""`odise models list|pull|verify`: what there is, what is here, and fetching the rest."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console
from odise_cli.errors import MissingDataError

if TYPE_CHECKING:
    from odise_cli.commands.models import ModelStatus

app = typer.Typer(help="List, fetch and check the weights of the published models.")

_Name = Annotated[str, typer.Argument(metavar="MODEL", help="label or caption.")]


@app.command("list")
def list_models(ctx: typer.Context, json: options.Json = False) -> None:
    """Say which models --model knows by name, and what is here of each."""
    from odise_cli.commands.models import list_models

    console: Console = ctx.obj
    console.configure(is_json=json)
    models = list_models()
    text = "\n".join(summaries.model_text(model) for model in models)
    console.result([_to_json(model) for model in models], text)


@app.command()
def pull(
    ctx: typer.Context,
    name: _Name,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    log_format: options.LogFormat = "text",
) -> None:
    """Fetch what is missing of a model; what has arrived before is kept."""
    from odise_cli.commands.models import pull_models

    console: Console = ctx.obj
    console.configure(is_quiet=quiet, is_json=json, log_format=log_format)
    with console.download_progress() as show:
        model = pull_models(
            name,
            offline=offline,
            on_progress=lambda file, done_bytes, total_bytes: show(
                file.name, done_bytes, total_bytes
            ),
        )
    if model.notice is not None:
        console.notice(model.notice)
    console.result(_to_json(model), summaries.model_text(model))


@app.command()
def verify(ctx: typer.Context, name: _Name, json: options.Json = False) -> int:
    """Read every file of a model and compare it with what is published."""
    from odise_cli.commands.models import verify_models

    console: Console = ctx.obj
    console.configure(is_json=json)
    model = verify_models(name)
    console.result(_to_json(model), summaries.model_text(model))
    return MissingDataError.exit_code if model.state == "incomplete" else 0


def _to_json(model: "ModelStatus") -> dict[str, Any]:
    files = [{**asdict(file), "path": str(file.path)} for file in model.files]
    return {**asdict(model), "state": model.state, "files": files}
