"""`odise evaluate`: options into an `EvaluateConfig`, a report into a table and an exit code."""

from pathlib import Path
from typing import Annotated

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console
from odise_cli.config import DATASETS, EvaluateConfig

_DATASET, _RUN = "Dataset", "Run"

_Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help=f"{', '.join(DATASETS)}.",
        autocompletion=lambda: list(DATASETS),
        show_default=False,
        rich_help_panel=_DATASET,
    ),
]
_Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder with the dataset as it was downloaded; default: $ODISE_DATASETS.",
        rich_help_panel=_DATASET,
    ),
]
_Annotations = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="FILE",
        help="JSON file of a COCO panoptic pair.",
        rich_help_panel=_DATASET,
    ),
]
_Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks",
        metavar="DIR",
        help="PNGs of a COCO panoptic pair, or label maps.",
        rich_help_panel=_DATASET,
    ),
]
_Vocab = Annotated[
    list[str] | None,
    typer.Option(
        "--vocab",
        metavar="VOCAB",
        help="Vocabulary of label-png; for coco-panoptic in place of the file's own categories.",
        show_default=False,
        rich_help_panel=_DATASET,
    ),
]
_Void = Annotated[
    list[int] | None,
    typer.Option(
        "--void",
        metavar="VALUE",
        help="Value of label-png's maps that is not judged; may be repeated. Default: 255.",
        show_default=False,
        rich_help_panel=_DATASET,
    ),
]
_SelfCheck = Annotated[
    bool,
    typer.Option(
        "--self-check",
        help="Count the dataset's files against the published numbers and leave.",
        rich_help_panel=_DATASET,
    ),
]
_Predictions = Annotated[
    Path | None,
    typer.Option(
        "--predictions",
        metavar="DIR",
        help="Output folder of odise segment.",
        rich_help_panel=_RUN,
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for report.json, report.md and report.html, a page to look at.",
        rich_help_panel=_RUN,
    ),
]
_Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        help="Only the first N images of the dataset.",
        rich_help_panel=_RUN,
    ),
]


def evaluate(  # long because: one line per flag
    ctx: typer.Context,
    dataset: _Dataset,
    data: _Data = EvaluateConfig.data,
    annotations: _Annotations = EvaluateConfig.annotations,
    masks: _Masks = EvaluateConfig.masks,
    vocab: _Vocab = None,
    void: _Void = None,
    predictions: _Predictions = EvaluateConfig.predictions,
    out: _Out = EvaluateConfig.out,
    limit: _Limit = EvaluateConfig.limit,
    self_check: _SelfCheck = EvaluateConfig.self_check,
    quiet: options.Quiet = False,
    json: options.Json = False,
    log_format: options.LogFormat = "text",
) -> int:
    """Score an output folder of odise segment against a dataset's ground truth.

    For example: odise evaluate --dataset ade20k --data ./datasets --predictions ./preds
    """
    from odise_cli.commands import evaluate as command
    from odise_cli.commands.dataset_source import default_data

    console: Console = ctx.obj
    console.configure(is_quiet=quiet, is_json=json, log_format=log_format)
    if data is None and annotations is None and masks is None:
        data = default_data()
    config = EvaluateConfig(
        dataset=dataset,
        data=data,
        annotations=annotations,
        masks=masks,
        vocab=tuple(vocab or ()),
        void=EvaluateConfig.void if void is None else tuple(void),
        predictions=predictions,
        out=out,
        limit=limit,
        self_check=self_check,
    )
    if config.self_check:
        check = command.self_check(config)
        console.result(check.to_json(), summaries.self_check_text(check))
        return check.exit_code
    with console.image_progress() as on_progress:
        report = command.run_evaluate(config, on_notice=console.warning, on_progress=on_progress)
    console.result(report.to_json(), summaries.evaluation_text(report))
    return 0
