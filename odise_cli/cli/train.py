"""`odise train`: a recipe and what changes in it into a `TrainConfig`, a report into words."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console
from odise_cli.cli.signals import StopSignals
from odise_cli.config import TrainConfig
from odise_cli.recipe.files import bundled_recipes, load_recipe

_WHAT, _RUN = "What is trained", "Run"

_Recipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="FILE|NAME",
        help=f"A recipe in TOML, or one of {', '.join(bundled_recipes())}.",
        autocompletion=lambda: list(bundled_recipes()),
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the recipe, such as steps=1000 or optimizer.learning_rate=1e-3. "
        "May be repeated.",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
_Data = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The folder that the recipe's paths count from.",
        rich_help_panel=_WHAT,
    ),
]
_Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="RUN",
        help="The run's folder: recipe, metrics, checkpoints, and the model at the end.",
        rich_help_panel=_RUN,
    ),
]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on from the newest checkpoint in RUN; begin if there is none.",
        rich_help_panel=_RUN,
    ),
]
_Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"] | None,
    typer.Option(
        "--precision",
        help="In place of the recipe's; auto is fp32 on a CPU, bf16 on a GPU that computes it.",
        show_default=False,
        rich_help_panel="Device",
    ),
]
_DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check recipe, words, files and folder, say what would be done and leave.",
        rich_help_panel=_RUN,
    ),
]


def train(  # long because: one line per flag
    ctx: typer.Context,
    recipe: _Recipe,
    data: _Data = TrainConfig.data,
    out: _Out = TrainConfig.out,
    set_: _Set = None,
    resume: _Resume = TrainConfig.resume,
    device: options.Device = TrainConfig.device,
    precision: _Precision = None,
    offline: options.Offline = TrainConfig.offline,
    dry_run: _DryRun = TrainConfig.dry_run,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    json: options.Json = False,
    log_format: options.LogFormat = "text",
) -> int:
    """Train a model by a recipe; RUN is a model for odise segment at the end.

    For example: odise train --recipe label_coco --data ./coco --out ./run. With many GPUs:
    torchrun --nproc_per_node 8 -m odise_cli train --recipe label_coco --data ./coco --out ./run
    """
    console: Console = ctx.obj
    # torchrun numbers the processes that it starts; what one of them says is enough.
    is_first = os.environ.get("RANK", "0") == "0"
    console.configure(
        is_quiet=quiet or not is_first,
        is_verbose=verbose,
        is_json=json and is_first,
        log_format=log_format,
    )
    loaded = load_recipe(recipe, set_ or ())
    config = TrainConfig(
        recipe=loaded if precision is None else replace(loaded, precision=precision),
        data=data,
        out=out,
        resume=resume,
        device=device,
        offline=offline,
        dry_run=dry_run,
    )
    return run(config, console)


def run(config: TrainConfig, console: Console) -> int:
    """Do what was asked, say what came of it, and return the exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torch and the libraries on top of it take seconds to import: `--help` must not.
    from odise_cli.commands.train import plan_train, run_train

    if config.dry_run:
        plan = plan_train(config)
        console.result(plan.to_json(), summaries.train_plan_text(plan))
        return 0
    with (
        StopSignals(console.notice_in_signal_handler) as stop,
        console.step_progress() as on_progress,
    ):
        report = run_train(
            config,
            on_notice=console.notice,
            on_progress=on_progress,
            should_stop=stop.is_requested,
        )
    console.result(report.to_json(), summaries.train_report_text(report))
    # Of several processes the one without a signal leaves with the others, and has no code for it.
    return stop.exit_code if report.is_interrupted and stop.is_requested() else 0
