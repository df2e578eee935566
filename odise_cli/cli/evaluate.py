"""`odise evaluate`: options into an `EvaluateConfig`, a report into a table and an exit code."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console
from odise_cli.cli.segment import prepare_for_torch, was_typed
from odise_cli.cli.settings import flag_name, inference_settings
from odise_cli.cli.signals import StopSignals
from odise_cli.config import DATASETS, EvaluateConfig, InferenceConfig
from odise_cli.errors import UsageError
from odise_cli.reports.segmentation import SegmentReport

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
_Images = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="DIR",
        help="Images of a COCO panoptic pair or of label maps; only a model needs them.",
        rich_help_panel=_DATASET,
    ),
]
_Vocab = Annotated[
    list[str] | None,
    typer.Option(
        "--vocab",
        metavar="VOCAB",
        help="Vocabulary of label-png; for others in place of the dataset's own words.",
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
        help="Score this output folder of odise segment instead of running a model.",
        rich_help_panel=_RUN,
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for report.json, report.md and report.html, a page to look at, and for "
        "predictions/ where a model runs; default there: evaluation.",
        rich_help_panel=_RUN,
    ),
]


def evaluate(  # long because: one line per flag
    ctx: typer.Context,
    dataset: _Dataset,
    data: _Data = EvaluateConfig.data,
    annotations: _Annotations = EvaluateConfig.annotations,
    masks: _Masks = EvaluateConfig.masks,
    images: _Images = EvaluateConfig.images,
    vocab: _Vocab = None,
    void: _Void = None,
    self_check: _SelfCheck = EvaluateConfig.self_check,
    predictions: _Predictions = EvaluateConfig.predictions,
    out: _Out = EvaluateConfig.out,
    limit: options.Limit = EvaluateConfig.limit,
    shard: options.ShardText = None,
    model: options.Model = EvaluateConfig.model,
    weights: options.Weights = EvaluateConfig.weights,
    offline: options.Offline = EvaluateConfig.offline,
    seed: options.Seed = EvaluateConfig.seed,
    device: options.Device = EvaluateConfig.device,
    precision: options.Precision = EvaluateConfig.precision,
    batch_size: options.BatchSize = "auto",
    max_memory_bytes: options.MaxMemory = None,
    compile: options.Compile = EvaluateConfig.compile,
    overlap_threshold: options.OverlapThreshold = EvaluateConfig.overlap_threshold,
    object_mask_threshold: options.ObjectMaskThreshold = EvaluateConfig.object_mask_threshold,
    unknown_threshold: options.UnknownThreshold = EvaluateConfig.unknown_threshold,
    alpha: options.Alpha = EvaluateConfig.alpha,
    beta: options.Beta = EvaluateConfig.beta,
    overwrite: options.Overwrite = EvaluateConfig.overwrite,
    dry_run: options.DryRun = EvaluateConfig.dry_run,
    fail_fast: options.FailFast = EvaluateConfig.fail_fast,
    max_failures: options.MaxFailures = EvaluateConfig.max_failures,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    json: options.Json = False,
    log_format: options.LogFormat = "text",
) -> int:
    """Measure a model, or an output folder of odise segment, against a dataset's ground truth.

    For example: odise evaluate --dataset ade20k --data ./datasets --model label --out ./ade
    """
    flags = locals()  # The signature above stays the only list of the flags.
    # With the metrics come numpy and pycocotools: `--help` must not.
    from odise_cli.commands.dataset_source import default_data

    console: Console = ctx.obj
    console.configure(is_quiet=quiet, is_verbose=verbose, is_json=json, log_format=log_format)
    if predictions is not None:
        _refuse_model_flags(ctx)
    if data is None and annotations is None and masks is None:
        data = default_data()
    config = EvaluateConfig(
        dataset=dataset,
        data=data,
        annotations=annotations,
        masks=masks,
        images=images,
        vocab=tuple(vocab or ()),
        void=EvaluateConfig.void if void is None else tuple(void),
        predictions=predictions,
        out=out,
        self_check=self_check,
        **inference_settings(flags),
    )
    return run(config, console)


def run(config: EvaluateConfig, console: Console) -> int:
    """Do what was asked, say what came of it, and return the exit code."""
    from odise_cli.commands.evaluate import run_evaluate, self_check

    if config.self_check:
        check = self_check(config)
        console.result(check.to_json(), summaries.self_check_text(check))
        return check.exit_code
    if config.dry_run:
        return _show_plan(config, console)
    with StopSignals(console.notice_in_signal_handler) as stop:
        if config.predictions is None:
            segmented = _run_model(config, console, stop)
            if segmented.is_interrupted:
                console.result(segmented.to_json(), summaries.segment_report_text(segmented))
                return stop.exit_code
        with console.image_progress() as on_progress:
            report = run_evaluate(
                config,
                on_notice=console.warning,
                on_progress=on_progress,
                should_stop=stop.is_requested,
            )
    if report is None:
        console.notice("Interrupted. The same command scores again; predictions are kept.")
        return stop.exit_code
    console.result(report.to_json(), summaries.evaluation_text(report))
    return report.exit_code


def _run_model(config: EvaluateConfig, console: Console, stop: StopSignals) -> SegmentReport:
    """`odise segment` over the dataset's images."""
    prepare_for_torch()
    # torch and the libraries on top of it take seconds to import; saved predictions need none.
    from odise_cli.commands.dataset_run import run_dataset

    with console.image_progress() as on_progress:
        segmented = run_dataset(
            config,
            on_notice=console.notice,
            on_progress=on_progress,
            should_stop=stop.is_requested,
        )
    if (failures := summaries.failures_text(segmented)) is not None:
        console.warning(failures)
    if not segmented.is_interrupted:
        console.notice(summaries.segment_report_text(segmented))
    return segmented


def _show_plan(config: EvaluateConfig, console: Console) -> int:
    prepare_for_torch()
    from odise_cli.commands.dataset_run import plan_dataset_run

    plan = plan_dataset_run(config)
    console.result(plan.to_json(), summaries.segment_plan_text(plan))
    return 0


def _refuse_model_flags(ctx: typer.Context) -> None:
    """What says how a model runs says nothing of predictions that are there already."""
    for field in fields(InferenceConfig):
        if field.name not in ("limit", "shard") and was_typed(ctx, field.name):
            flag = flag_name(field.name)
            raise UsageError(
                f"{flag}: means nothing to --predictions, which are there already. Expected one "
                f"of them. Remove {flag}, or --predictions to run the model."
            )
