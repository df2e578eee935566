"""Every flag once: its name, its help text, and how its text becomes a value.

`odise segment --help` and `odise evaluate --help` read from here; `settings.py` turns what was
typed, or written in a settings file, into configurations. Knows no files.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from odise_cli.config import ENGINES, OUTPUTS, PRECISIONS, Shard
from odise_cli.errors import UsageError

_IMAGES, _MODEL, _DEVICE = "Images", "Model and vocabulary", "Device"
_THRESHOLDS, _RUN, _TALK = "Thresholds", "Run", "Talk"

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCES",
        help="Images, folders (read recursively) and quoted globs such as 'photos/**/*.jpg'; "
        "or URLs such as s3://bucket/photos.",
        show_default=False,
    ),
]
FromFile = Annotated[
    str | None,
    typer.Option(
        "--from-file",
        metavar="FILE",
        help="Read sources from a file, one a line; - is standard input.",
        rich_help_panel=_IMAGES,
    ),
]
NullSeparated = Annotated[
    bool,
    typer.Option(
        "--null-separated",
        "-0",
        help="The list of --from-file is separated by NUL, as find -print0 writes it.",
        rich_help_panel=_IMAGES,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", help="At most N images of this shard.", rich_help_panel=_IMAGES
    ),
]
ShardText = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N equal parts of the sorted list, counted from 1.",
        rich_help_panel=_IMAGES,
    ),
]
Vocab = Annotated[
    list[str] | None,
    typer.Option(
        "--vocab",
        metavar="VOCAB",
        help="A vocabulary file, a bundled name such as ade150 or a list such as "
        "'pickup truck, truck; blue sky, sky'. May be repeated: they add up.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Stuff = Annotated[
    list[str] | None,
    typer.Option(
        "--stuff",
        metavar="WORDS",
        help="Words that are stuff, regions without instances: 'sky,grass'.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="label, caption, tiny, or a folder: a model's, an exported one, a training run's.",
        autocompletion=lambda: ["label", "caption", "tiny"],
        rich_help_panel=_MODEL,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="A .pth or .safetensors head in place of the model's own.",
        rich_help_panel=_MODEL,
    ),
]
Offline = Annotated[
    bool,
    typer.Option("--offline/--no-offline", help="Never touch the network.", rich_help_panel=_MODEL),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed of the diffusion model's fixed noise.",
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:1 or mps.",
        autocompletion=lambda: ["auto", "cpu", "cuda", "mps"],
        rich_help_panel=_DEVICE,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="PRECISION",
        help=f"{', '.join(PRECISIONS)}; auto is fp32 on a CPU, bf16 on a GPU that computes it.",
        autocompletion=lambda: list(PRECISIONS),
        rich_help_panel=_DEVICE,
    ),
]
BatchSize = Annotated[
    str,
    typer.Option(
        "--batch-size",
        metavar="auto|N",
        help="Images per batch; halved by itself when the device runs out of memory.",
        rich_help_panel=_DEVICE,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Device memory that a batch may take, such as 8G (8 × 1024³ bytes).",
        rich_help_panel=_DEVICE,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile/--no-compile",
        help="On CUDA, compile the diffusion model: minutes at the start of each long run.",
        rich_help_panel=_DEVICE,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="local: one device of this machine; ray: the devices of a Ray cluster.",
        autocompletion=lambda: list(ENGINES),
        rich_help_panel=_DEVICE,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="A Ray cluster; without, $RAY_ADDRESS or one of this machine alone.",
        rich_help_panel=_DEVICE,
    ),
]
RayActors = Annotated[
    int | None,
    typer.Option(
        "--ray-actors",
        metavar="N",
        help="How many devices of the cluster; default: all GPUs, or half of the cores.",
        rich_help_panel=_DEVICE,
    ),
]
OverlapThreshold = Annotated[
    float,
    typer.Option(
        "--overlap-threshold",
        metavar="P",
        help="Share of its own area that a mask must win to become a segment.",
        rich_help_panel=_THRESHOLDS,
    ),
]
ObjectMaskThreshold = Annotated[
    float,
    typer.Option(
        "--object-mask-threshold",
        metavar="P",
        help="Probability that a mask must exceed to be kept.",
        rich_help_panel=_THRESHOLDS,
    ),
]
UnknownThreshold = Annotated[
    float,
    typer.Option(
        "--unknown-threshold",
        metavar="P",
        help="A segment whose best probability is lower becomes void.",
        rich_help_panel=_THRESHOLDS,
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        "--alpha",
        metavar="W",
        help="Weight of CLIP's classifier for categories seen in training; default: the model's.",
        rich_help_panel=_THRESHOLDS,
    ),
]
Beta = Annotated[
    float | None,
    typer.Option(
        "--beta",
        metavar="W",
        help="Weight of CLIP's classifier for all other categories; default: the model's.",
        rich_help_panel=_THRESHOLDS,
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="Folder for the results.", rich_help_panel=_RUN),
]
OutOrUrl = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="DIR|URL",
        help="Folder for the results, or a URL such as s3://bucket/preds.",
        rich_help_panel=_RUN,
    ),
]
Write = Annotated[
    list[str],
    typer.Option(
        "--write",
        metavar="LIST",
        help=f"What to write, with commas between: {', '.join(OUTPUTS)}.",
        autocompletion=lambda: list(OUTPUTS),
        rich_help_panel=_RUN,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite/--resume",
        help="Discard what the output folder holds, or go on where it stopped.",
        rich_help_panel=_RUN,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done and leave.", rich_help_panel=_RUN),
]
FailFast = Annotated[
    bool,
    typer.Option(
        "--fail-fast/--no-fail-fast",
        help="Stop at the first image that fails.",
        rich_help_panel=_RUN,
    ),
]
MaxShortSide = Annotated[
    int | None,
    typer.Option(
        "--max-short-side",
        metavar="PX",
        help="Shrink larger images first, as a benchmark may demand; results have that size.",
        rich_help_panel=_IMAGES,
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        "--max-failures",
        metavar="N",
        help="Stop when more than N images have failed.",
        rich_help_panel=_RUN,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A TOML file of these settings by flag name, such as batch-size = 4; flags win.",
        rich_help_panel=_RUN,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", help="Say nothing but warnings and errors.", rich_help_panel=_TALK),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        help="Show what the libraries underneath have to say.",
        rich_help_panel=_TALK,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the result as one JSON document, the last line of standard output.",
        rich_help_panel=_TALK,
    ),
]
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--log-format",
        help="How lines on standard error look.",
        rich_help_panel=_TALK,
    ),
]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_EXPONENTS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_batch_size(text: str, *, where: str) -> int | None:
    """`auto` or a number of images; None lets the device decide.

    Raises:
        UsageError: Anything else.
    """
    if text == "auto":
        return None
    if not re.fullmatch(r"-?[0-9]+", text):
        raise UsageError(
            f"{where}: {text!r} is no number of images. Expected auto or a whole number. "
            "Use for example 4."
        )
    return int(text)


def parse_size(text: str, *, where: str) -> int:
    """A size in bytes from `8G`, `512M`, `1.5GiB` or plain bytes; powers of 1024.

    Raises:
        UsageError: Anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{where}: {text!r} is no size. Expected a number and K, M, G or T. Use for example 8G."
        )
    return int(float(match[1]) * 1024 ** _EXPONENTS[match[2].upper()])


def parse_shard(text: str, *, where: str) -> Shard:
    """The part `I/N` of the list of images, counted from 1.

    Raises:
        UsageError: No two whole numbers with a slash between, or no part of N.
    """
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if match is None:
        raise UsageError(
            f"{where}: {text!r} is no part. Expected I/N, counted from 1. Use for example 1/4."
        )
    return Shard(index=int(match[1]), count=int(match[2]))


def split_commas(values: Iterable[str]) -> tuple[str, ...]:
    """The words of repeated comma lists, each once, in the order they were named."""
    words = (word.strip() for value in values for word in value.split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def parsed_size(text: str) -> tuple[int, int]:
    """(height, width) of what `--size` says.

    Raises:
        UsageError: it says no size.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UsageError(
            f"--size: {text!r} is no size. Expected height x width. Try --size 512x512."
        )
    return int(height), int(width)
