"""`odise segment`: options into a `SegmentConfig`, a report into words and an exit code."""

import os

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console
from odise_cli.cli.settings import segment_config
from odise_cli.cli.signals import StopSignals
from odise_cli.config import SegmentConfig


def segment(  # long because: one line per flag
    ctx: typer.Context,
    sources: options.Sources = None,
    vocab: options.Vocab = None,
    out: options.OutOrUrl = str(SegmentConfig.out),
    write: options.Write = list(SegmentConfig.write),  # noqa: B006
    from_file: options.FromFile = SegmentConfig.from_file,
    null_separated: options.NullSeparated = SegmentConfig.null_separated,
    limit: options.Limit = SegmentConfig.limit,
    shard: options.ShardText = None,
    max_short_side: options.MaxShortSide = SegmentConfig.max_short_side,
    stuff: options.Stuff = None,
    model: options.Model = SegmentConfig.model,
    weights: options.Weights = SegmentConfig.weights,
    offline: options.Offline = SegmentConfig.offline,
    seed: options.Seed = SegmentConfig.seed,
    device: options.Device = SegmentConfig.device,
    precision: options.Precision = SegmentConfig.precision,
    batch_size: options.BatchSize = "auto",
    max_memory_bytes: options.MaxMemory = None,
    compile: options.Compile = SegmentConfig.compile,
    engine: options.Engine = SegmentConfig.engine,
    ray_address: options.RayAddress = SegmentConfig.ray_address,
    ray_actors: options.RayActors = SegmentConfig.ray_actors,
    overlap_threshold: options.OverlapThreshold = SegmentConfig.overlap_threshold,
    object_mask_threshold: options.ObjectMaskThreshold = SegmentConfig.object_mask_threshold,
    unknown_threshold: options.UnknownThreshold = SegmentConfig.unknown_threshold,
    alpha: options.Alpha = SegmentConfig.alpha,
    beta: options.Beta = SegmentConfig.beta,
    overwrite: options.Overwrite = SegmentConfig.overwrite,
    dry_run: options.DryRun = SegmentConfig.dry_run,
    fail_fast: options.FailFast = SegmentConfig.fail_fast,
    max_failures: options.MaxFailures = SegmentConfig.max_failures,
    config_file: options.ConfigFile = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    json: options.Json = False,
    log_format: options.LogFormat = "text",
) -> int:
    """Cut every object and region out of photographs and name it with your own words.

    For example: odise segment ./imgs --vocab ade150.txt --out ./preds
    """
    flags = locals()  # The signature above stays the only list of the flags.
    console: Console = ctx.obj
    console.configure(is_quiet=quiet, is_verbose=verbose, is_json=json, log_format=log_format)
    typed = {name for name in ctx.params if was_typed(ctx, name)}
    return run(segment_config(flags, typed=typed, config_file=config_file), console)


def run(config: SegmentConfig, console: Console) -> int:
    """Do what was asked, say what came of it, and return the exit code."""
    prepare_for_torch()
    # torch and the libraries on top of it take seconds to import: `--help` must not.
    from odise_cli.commands.segment import plan_segment, run_segment

    if config.dry_run:
        plan = plan_segment(config)
        console.result(plan.to_json(), summaries.segment_plan_text(plan))
        return 0
    with (
        StopSignals(console.notice_in_signal_handler) as stop,
        console.image_progress() as on_progress,
    ):
        report = run_segment(
            config,
            on_notice=console.notice,
            on_progress=on_progress,
            should_stop=stop.is_requested,
        )
    if (failures := summaries.failures_text(report)) is not None:
        console.warning(failures)
    console.result(report.to_json(), summaries.segment_report_text(report))
    return stop.exit_code if report.is_interrupted else report.exit_code


def prepare_for_torch() -> None:
    """Set what is read when torch is imported."""
    # Threads that wait for work must not spin on the cores that decoding and writing need (beside
    # another busy process they cost tens of times more).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def was_typed(ctx: typer.Context, name: str) -> bool:
    """Whether the command line named an option of this command."""
    # The enumeration of sources is not among the names that typer exports, its members' names are.
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
