"""`odise merge`: output folders of shards into the folder of one run."""

from typing import Annotated

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console
from odise_cli.storage import parse_location

_Folders = Annotated[
    list[str],
    typer.Argument(
        metavar="DIR", help="Output folders (or URLs) of odise segment with the same settings."
    ),
]


def merge(
    ctx: typer.Context,
    folders: _Folders,
    out: options.OutOrUrl,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    log_format: options.LogFormat = "text",
) -> int:
    """Join the output folders of --shard runs into one.

    For example: odise merge shards/1 shards/2 --out preds
    """
    from odise_cli.commands.merge import merge_runs

    console: Console = ctx.obj
    console.configure(is_quiet=quiet, is_json=json, log_format=log_format)
    report = merge_runs(
        [parse_location(folder) for folder in folders], parse_location(out), overwrite=overwrite
    )
    console.result(report.to_json(), summaries.merge_report_text(report))
    return report.exit_code
