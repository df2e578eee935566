"""`odise merge`: output folders of shards into the folder of one run."""

from pathlib import Path
from typing import Annotated

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console

_Folders = Annotated[
    list[Path],
    typer.Argument(metavar="DIR", help="Output folders of odise segment with the same settings."),
]


def merge(
    ctx: typer.Context,
    folders: _Folders,
    out: options.Out,
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
    report = merge_runs(folders, out, overwrite=overwrite)
    console.result(report.to_json(), summaries.merge_report_text(report))
    return report.exit_code
