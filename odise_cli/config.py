"""One frozen dataclass per command: what was asked for, validated, before anything is opened.

Knows no files: a path here is a promise that the command checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from odise_cli.errors import UsageError
from odise_cli.recipe.schema import Recipe
from odise_cli.storage import Location

OUTPUTS = ("panoptic", "instances", "semantic", "overlay", "segments")
"""What `--write` accepts."""
DATASETS = (
    "ade20k",
    "ade20k-full",
    "coco",
    "voc21",
    "context59",
    "context459",
    "cityscapes",
    "mapillary",
    "lvis",
    "uvo",
    "coco-panoptic",
    "label-png",
)
"""What `--dataset` accepts."""
GRAPH_FORMATS = ("onnx", "pt2")
"""Formats in which a model is a graph that computes."""
EXPORT_FORMATS = (*GRAPH_FORMATS, "safetensors")
"""What `--format` accepts."""
EXPORT_PRECISIONS = ("fp32", "fp16")
"""What weights can be written in."""
ENGINES = ("local", "ray")
"""What `--engine` accepts."""
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A contiguous N-th of the sorted list of images."""

    index: int
    """1-based."""
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(
                f"--shard: {self.index}/{self.count} is no part. "
                f"I/N needs 1 <= I <= N. Use for example --shard 1/{max(self.count, 1)}."
            )

    def bounds(self, total: int) -> tuple[int, int]:
        """First and past-the-last position of this shard in a list of `total` images."""
        return (self.index - 1) * total // self.count, self.index * total // self.count


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How a model is run over images: what `segment` and `evaluate` are asked alike."""

    model: str = "label"
    """`label`, `caption`, `tiny`, or a folder: a model's, an exported one, a training run's."""
    weights: Path | None = None
    """A `.pth` or `.safetensors` head that replaces the model's own."""
    offline: bool = False
    """Never touch the network."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    precision: str = "auto"
    """`auto`, `fp32`, `bf16` or `fp16`; auto is fp32 on a CPU, bf16 where a GPU computes it."""
    batch_size: int | None = None
    """Images per batch; None lets the device decide."""
    max_memory_bytes: int | None = None
    """Device memory that a batch may take; None is no limit."""
    compile: bool = False
    """Compile the diffusion model for the device; CUDA only."""
    overlap_threshold: float = 0.8
    """Share of its own area that a mask must win to become a segment."""
    object_mask_threshold: float = 0.0
    """Probability that a query must exceed to be kept."""
    unknown_threshold: float = 0.0
    """A segment whose best probability is lower becomes void."""
    alpha: float | None = None
    """Weight of the CLIP classifier for seen categories; None is the model's own."""
    beta: float | None = None
    """Weight of the CLIP classifier for unseen categories; None is the model's own."""
    limit: int | None = None
    """At most so many images of this shard."""
    shard: Shard | None = None
    """Work on one part of the list only."""
    dry_run: bool = False
    """Say what would be done and leave."""
    overwrite: bool = False
    """Discard earlier results in the output folder instead of resuming."""
    fail_fast: bool = False
    """Stop at the first image that fails."""
    max_failures: int | None = None
    """Stop when more images than this have failed."""
    seed: int = 42
    """Seed of the diffusion model's fixed noise; 42 is the published one."""

    def __post_init__(self) -> None:
        _check_member("--precision", (self.precision,), PRECISIONS)
        for flag, value in (
            ("--overlap-threshold", self.overlap_threshold),
            ("--object-mask-threshold", self.object_mask_threshold),
            ("--unknown-threshold", self.unknown_threshold),
            ("--alpha", self.alpha),
            ("--beta", self.beta),
        ):
            if value is not None and not 0.0 <= value <= 1.0:
                raise UsageError(f"{flag}: {value} is out of range. Expected 0 to 1.")
        for flag, count, least in (
            ("--batch-size", self.batch_size, 1),
            ("--limit", self.limit, 1),
            ("--max-failures", self.max_failures, 0),
            ("--max-memory", self.max_memory_bytes, 1),
        ):
            if count is not None and count < least:
                raise UsageError(f"{flag}: {count} is too small. Expected at least {least}.")

    def bounds(self, total: int) -> tuple[int, int]:
        """First and past-the-last position of this shard and limit in a list of `total` images."""
        first, end = self.shard.bounds(total) if self.shard else (0, total)
        return first, end if self.limit is None else min(end, first + self.limit)


@dataclass(frozen=True, kw_only=True)
class SegmentConfig(InferenceConfig):
    """Everything `odise segment` was asked to do."""

    sources: tuple[str, ...] = ()
    """Files, folders (read recursively) and glob patterns."""
    from_file: str | None = None
    """A file with one source per line; `-` is standard input."""
    null_separated: bool = False
    """The list of `from_file` is separated by NUL instead of newlines."""
    vocab: tuple[str, ...] = ()
    """Vocabulary files, bundled names or inline lists; they add up."""
    stuff: tuple[str, ...] = ()
    """Words that are stuff (regions without instances) whatever the vocabulary says."""
    out: Location = Path("preds")
    """Output folder."""
    write: tuple[str, ...] = ("panoptic",)
    """Which outputs to write."""
    engine: str = "local"
    """`local`: one device of this machine; `ray`: the devices of a Ray cluster."""
    ray_address: str | None = None
    """`host:port` of a Ray cluster, or `auto`; None starts one on this machine."""
    ray_actors: int | None = None
    """How many devices to use; None is all GPUs, or half of the cores."""
    max_short_side: int | None = None
    """Images are first shrunk until their shorter side has at most so many pixels, as a benchmark
    may demand; results have the shrunk size. None shrinks none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_member("--write", self.write, OUTPUTS)
        _check_member("--engine", (self.engine,), ENGINES)
        for flag, value in (("address", self.ray_address), ("actors", self.ray_actors)):
            if value is not None and self.engine != "ray":
                raise UsageError(
                    f"--ray-{flag}: was given without --engine ray. Expected it with that engine "
                    f"only. Add --engine ray, or remove --ray-{flag}."
                )
        if self.ray_actors is not None and self.ray_actors < 1:
            raise UsageError(f"--ray-actors: {self.ray_actors} is too small. Expected at least 1.")
        if self.max_short_side is not None and self.max_short_side < 1:
            raise UsageError(
                f"--max-short-side: {self.max_short_side} is too small. Expected at least 1."
            )
        if not self.vocab:
            raise UsageError(
                "--vocab: no vocabulary was given. Expected a file, a bundled name or a list. "
                "Try --vocab ade150 or --vocab 'cat; dog; blue sky, sky'."
            )
        if not self.write:
            raise UsageError(f"--write: nothing to write. Expected some of {', '.join(OUTPUTS)}.")
        if not self.sources and self.from_file is None:
            raise UsageError(
                "SOURCES: no images were given. Expected files, folders or quoted globs. "
                "Name a folder, or a list with --from-file."
            )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(InferenceConfig):
    """Everything `odise evaluate` was asked to do."""

    dataset: str
    """One of `DATASETS`."""
    data: Path | None = None
    """The folder that holds the dataset as it was downloaded."""
    annotations: Path | None = None
    """The JSON file of a COCO panoptic pair."""
    masks: Path | None = None
    """The folder of a pair's PNGs, or of label maps."""
    images: Path | None = None
    """The folder of the images of a pair or of label maps; a model sees them."""
    vocab: tuple[str, ...] = ()
    """The vocabulary; none is the dataset's own. Ids and thing flags have to fit the dataset."""
    void: tuple[int, ...] = (255,)
    """Values of label maps whose pixels are not judged."""
    predictions: Path | None = None
    """An output folder of `odise segment`; None runs the model."""
    out: Path | None = None
    """Where the report goes, and what a model predicts; None is `evaluation` where a model runs,
    and no report of `predictions`."""
    self_check: bool = False
    """Count the dataset's files instead of scoring anything."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_member("--dataset", (self.dataset,), DATASETS)
        needs = {
            "coco-panoptic": ("annotations", "masks"),
            "label-png": ("masks", "vocab"),
        }.get(self.dataset, ("data",))
        takes = (*needs, "images") if "masks" in needs else needs
        for name in ("data", "annotations", "masks", "images"):
            value = getattr(self, name)
            if name in needs and value is None:
                raise UsageError(
                    f"--{name}: was not given. Expected for --dataset {self.dataset}: "
                    f"{' and '.join(f'--{need}' for need in needs)}. Add --{name}."
                )
            if name not in takes and value is not None:
                raise UsageError(
                    f"--{name}: means nothing to --dataset {self.dataset}. Expected "
                    f"{' and '.join(f'--{need}' for need in needs)}. Remove --{name}."
                )
        if self.dataset == "label-png" and not self.vocab:
            raise UsageError(
                "--vocab: no vocabulary was given. Expected one whose ids are the values of the "
                "label maps. Try --vocab classes.json."
            )

    @property
    def report_folder(self) -> Path | None:
        """Where the report goes; None writes no files."""
        return Path("evaluation") if self.out is None and self.predictions is None else self.out

    @property
    def predictions_folder(self) -> Path:
        """The run folder that is scored."""
        if self.predictions is not None:
            return self.predictions
        assert self.report_folder is not None
        return self.report_folder / "predictions"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything `odise train` was asked to do."""

    recipe: Recipe
    """What is computed."""
    data: Path = Path()
    """The folder that the recipe's paths count from."""
    out: Path = Path("run")
    """The run's folder."""
    resume: bool = False
    """Go on where an earlier run in the folder stopped; begin if there is none."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    offline: bool = False
    """Never touch the network."""
    dry_run: bool = False
    """Say what would be done and leave."""


@dataclass(frozen=True, kw_only=True)
class DrawConfig:
    """Everything `odise draw` was asked to do."""

    out: Path
    """An empty or new folder."""
    scenes: int = 500
    """How many."""
    size: tuple[int, int] = (256, 256)
    """(height, width) of every picture, pixels."""
    seed: int = 1000
    """Another seed is another world; the bundled model was trained on seeds below 100."""
    close_up: float = 0.0
    """Share of pictures that show a part of their scene around one thing."""
    only_seen: bool = False
    """Draw nothing that the bundled model's head was not taught."""

    def __post_init__(self) -> None:
        if self.scenes < 1:
            raise UsageError(f"--scenes: {self.scenes} is too small. Expected at least 1.")
        if self.seed < 0:
            raise UsageError(f"--seed: {self.seed} is negative. Expected 0 or more.")
        if not all(64 <= side <= 4096 for side in self.size):
            raise UsageError(
                f"--size: {self.size[0]}x{self.size[1]} cannot be drawn. "
                "Expected sides of 64 to 4096 pixels. Try --size 512x512."
            )
        if not 0.0 <= self.close_up <= 1.0:
            raise UsageError(
                f"--close-up: {self.close_up} is no share. Expected 0 to 1. Try --close-up 0.25."
            )


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Everything `odise export` was asked to do."""

    format: str
    """One of `EXPORT_FORMATS`."""
    out: Path
    """An empty or new folder."""
    model: str = "label"
    """`label`, `caption`, `tiny`, a model folder or a training run's folder."""
    weights: Path | None = None
    """A `.pth` or `.safetensors` head that replaces the model's own."""
    offline: bool = False
    """Never touch the network."""
    precision: str = "fp32"
    """`fp32` or `fp16`, of the weights in the files."""
    report: Path | None = None
    """A `report.json` of `odise evaluate` with the same weights, for the model card."""
    verify: bool = True
    """Run what was written, and compare its answers with the engine's."""
    size: tuple[tuple[int, int], ...] = ()
    """(height, width) of the canvases that graphs are made for; none is one that holds photographs
    of 3:2 at the model's own size."""

    def __post_init__(self) -> None:
        _check_member("--format", (self.format,), EXPORT_FORMATS)
        _check_member("--precision", (self.precision,), EXPORT_PRECISIONS)
        if self.size and self.format not in GRAPH_FORMATS:
            raise UsageError(
                f"--size: means nothing to --format {self.format}, which takes images of any "
                f"size. Expected --format {' or '.join(GRAPH_FORMATS)}. Remove --size."
            )
        for height, width in self.size:
            if min(height, width) < 64 or height % 64 or width % 64:
                best = "x".join(str(max(64, -(-side // 64) * 64)) for side in (height, width))
                raise UsageError(
                    f"--size: {height}x{width} is no canvas. Expected height and width that are "
                    f"multiples of 64. Try --size {best}."
                )


def _check_member(flag: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise UsageError(f"{flag}: {value!r} is unknown. Expected {', '.join(allowed)}.")
