"""`odise export`: options into an `ExportConfig`, a report into words."""

from pathlib import Path
from typing import Annotated

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console
from odise_cli.cli.segment import prepare_for_torch
from odise_cli.config import EXPORT_FORMATS, EXPORT_PRECISIONS, ExportConfig

_Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="onnx, pt2: graphs for onnxruntime or torch. safetensors: a folder of weights.",
        autocompletion=lambda: list(EXPORT_FORMATS),
        show_default=False,
    ),
]
_Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="PRECISION",
        help=f"Of the weights in the files: {', '.join(EXPORT_PRECISIONS)}; graphs compute in it.",
        autocompletion=lambda: list(EXPORT_PRECISIONS),
    ),
]
_Size = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        metavar="HxW",
        help="Canvas of a graph, multiples of 64; repeat it for more. Smaller images are padded, "
        "larger ones shrunk. [default: the model's short side x 1.5 of it]",
        show_default=False,
    ),
]
_Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="A report.json of odise evaluate: its figures go into the model card.",
    ),
]
_Verify = Annotated[
    bool,
    typer.Option(
        "--verify/--no-verify",
        help="Run what was written on pictures, and compare its answers with the model's.",
    ),
]


def export(
    ctx: typer.Context,
    format: _Format,
    out: options.Out,
    model: options.Model = ExportConfig.model,
    weights: options.Weights = ExportConfig.weights,
    offline: options.Offline = ExportConfig.offline,
    precision: _Precision = ExportConfig.precision,
    size: _Size = None,
    report: _Report = ExportConfig.report,
    verify: _Verify = ExportConfig.verify,
    quiet: options.Quiet = False,
    json: options.Json = False,
    log_format: options.LogFormat = "text",
) -> int:
    """Write a model for deployment, and check that it still gives the same answers.

    For example: odise export --model ./run --format onnx --out ./graphs
    """
    console: Console = ctx.obj
    console.configure(is_quiet=quiet, is_json=json, log_format=log_format)
    config = ExportConfig(
        format=format,
        out=out,
        model=model,
        weights=weights,
        offline=offline,
        precision=precision,
        size=tuple(options.parsed_size(text) for text in size or ()),
        report=report,
        verify=verify,
    )
    prepare_for_torch()
    # Takes seconds to import.
    from odise_cli.commands.export import run_export

    result = run_export(config, on_notice=console.notice)
    console.result(result.to_json(), summaries.export_report_text(result))
    return 0
