"""`odise draw`: scenes of the synthetic world, with their ground truth."""

from typing import Annotated

import typer

from odise_cli.cli import options, summaries
from odise_cli.cli.console import Console
from odise_cli.cli.signals import StopSignals
from odise_cli.config import DrawConfig

_Scenes = Annotated[int, typer.Option("--scenes", metavar="N", help="How many scenes.")]
_Size = Annotated[
    str, typer.Option("--size", metavar="HxW", help="Height and width of the pictures, pixels.")
]
_Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Another seed is another world.")]
_CloseUp = Annotated[
    float,
    typer.Option("--close-up", metavar="P", help="Share of pictures taken from near, 0 to 1."),
]
_OnlySeen = Annotated[
    bool,
    typer.Option("--only-seen", help="Nothing that the tiny model's head has not been taught."),
]


def draw(
    ctx: typer.Context,
    out: options.Out,
    scenes: _Scenes = DrawConfig.scenes,
    size: _Size = "256x256",
    seed: _Seed = DrawConfig.seed,
    close_up: _CloseUp = DrawConfig.close_up,
    only_seen: _OnlySeen = DrawConfig.only_seen,
    quiet: options.Quiet = False,
    json: options.Json = False,
    log_format: options.LogFormat = "text",
) -> int:
    """Draw scenes of the tiny model's world: pictures, panoptic ground truth and captions.

    For example: odise draw --out world --scenes 500

    What was stopped or killed goes on with the same command.
    """
    from odise_cli.commands.draw import run_draw

    console: Console = ctx.obj
    console.configure(is_quiet=quiet, is_json=json, log_format=log_format)
    config = DrawConfig(
        out=out,
        scenes=scenes,
        size=options.parsed_size(size),
        seed=seed,
        close_up=close_up,
        only_seen=only_seen,
    )
    with (
        StopSignals(console.notice_in_signal_handler, unit="scene") as stop,
        console.image_progress() as on_progress,
    ):
        report = run_draw(config, on_progress=on_progress, should_stop=stop.is_requested)
    console.result(report.to_json(), summaries.draw_report_text(report))
    return stop.exit_code if report.is_interrupted else 0
