"""What a recipe holds: one frozen dataclass per table, its fields documented, its values checked.

Knows no files; paths are text, relative to `--data`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from odise_cli.errors import UsageError

TASKS = ("head", "clip", "autoencoder", "diffusion")
SUPERVISIONS = ("label", "caption")
SCHEDULES = ("multistep", "cosine", "constant")
TRAINING_DATA = ("coco", "coco-panoptic", "world")
RECIPE_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW, and the limit of the gradient's norm."""

    learning_rate: float = 1e-4
    """Base rate; the schedule multiplies it."""
    weight_decay: float = 0.05
    """Of everything trainable but the parameters of norms, and biases."""
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = 0.01
    """Largest norm of all gradients together; 0 is no limit."""

    def __post_init__(self) -> None:
        check_least("optimizer.learning_rate", self.learning_rate, 0.0)
        check_least("optimizer.weight_decay", self.weight_decay, 0.0)
        check_least("optimizer.clip_norm", self.clip_norm, 0.0)
        for beta in self.betas:
            check_share("optimizer.betas", beta)


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Learning rate over the run; places in the run are shares of its steps, 0..1."""

    kind: str = "multistep"
    """`multistep`, `cosine` or `constant`."""
    warmup: float = 500 / 184375
    """Where the linear warm-up ends."""
    warmup_factor: float = 0.067
    """Multiplier of the first step."""
    milestones: tuple[float, ...] = (163889 / 184375, 177546 / 184375)
    """Of `multistep`: from each of these on the rate is multiplied by `gamma` once more."""
    gamma: float = 0.1
    final_factor: float = 0.0
    """Of `cosine`: multiplier at the end of the run."""

    def __post_init__(self) -> None:
        check_member("schedule.kind", self.kind, SCHEDULES)
        for name in ("warmup", "warmup_factor", "gamma", "final_factor"):
            check_share(f"schedule.{name}", getattr(self, name))
        for milestone in self.milestones:
            check_share("schedule.milestones", milestone)
        if list(self.milestones) != sorted(self.milestones):
            raise UsageError(
                f"schedule.milestones: {list(self.milestones)} is not in order. "
                "Expected shares of the run that grow. Sort them."
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Images with masks and captions, and how they are augmented."""

    dataset: str = "coco"
    """`coco` (the download of 2017), `coco-panoptic` (a pair of yours) or `world` (drawn)."""
    annotations: str = "annotations/panoptic_train2017.json"
    """JSON file of the panoptic pair."""
    masks: str = "annotations/panoptic_train2017"
    """Folder of its PNGs."""
    images: str = "train2017"
    """Folder of the images."""
    captions: str = ""
    """JSON file in COCO's caption format; caption supervision needs one."""
    vocab: tuple[str, ...] = ("coco133",)
    """The words of the categories; the training vocabulary."""
    crop_size: int = 1024
    """Side of the square that the network sees, pixels; a multiple of 64."""
    augment: bool = True
    """Flip, large-scale jitter and random crop; without, images are resized to the crop's size."""
    min_scale: float = 0.1
    max_scale: float = 2.0
    words: str = "nouns"
    """What is drawn from captions: `nouns` ("bus") or noun `phrases` ("red bus")."""
    num_scenes: int = 10000
    """Of `world`: how many scenes there are; scene n follows from `seed` and n."""
    close_up: float = 0.0
    """Of `world`: share of scenes that are seen from near, around one thing."""
    min_window: float = 1.0
    """Of `world`: smallest side of the part of a scene that is seen, relative to its height."""
    part_sides: tuple[int, ...] = ()
    """Of task `clip`: in place of scaled windows, parts of scenes at their own scale and place
    with sides of so many patches, one of these for each pass; small parts show one thing."""
    num_regions: int = 0
    """Of task `clip`: instead, whole scenes with so many rectangles of `part_sides` in each, seen
    by mask tokens, as CLIP is asked what is in a mask."""
    single_words: float = 0.0
    """Of regions: share of their captions that are one word for one thing or stuff in them."""
    num_workers: int = 4
    """Threads of each process that read images ahead; 0 reads when they are needed."""

    def __post_init__(self) -> None:
        check_member("data.dataset", self.dataset, TRAINING_DATA)
        check_member("data.words", self.words, ("nouns", "phrases"))
        if self.crop_size < 64 or self.crop_size % 64:
            raise UsageError(
                f"data.crop_size: {self.crop_size} cannot be cut into latents. "
                "Expected a multiple of 64. Use for example 1024."
            )
        check_least("data.num_workers", self.num_workers, 0)
        check_least("data.num_scenes", self.num_scenes, 1)
        for side in self.part_sides:
            check_least("data.part_sides", side, 1)
        check_least("data.num_regions", self.num_regions, 0)
        if self.num_regions and not self.part_sides:
            raise UsageError(
                f"data.num_regions: {self.num_regions} regions have no sides. "
                "Expected data.part_sides as well. Add for example part_sides = [2, 4, 8]."
            )
        check_share("data.close_up", self.close_up)
        check_share("data.single_words", self.single_words)
        check_share("data.min_window", self.min_window)
        if not 0 < self.min_scale <= self.max_scale:
            raise UsageError(
                f"data.min_scale: {self.min_scale} to {self.max_scale} is no range of scales. "
                "Expected 0 < min_scale <= max_scale. Use for example 0.1 and 2.0."
            )


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """A COCO panoptic pair that the network is scored on while it trains."""

    every: int = 0
    """Steps between validations; there is one at the end too. 0 is never."""
    annotations: str = "annotations/panoptic_val2017.json"
    masks: str = "annotations/panoptic_val2017"
    images: str = "val2017"
    vocab: tuple[str, ...] = ()
    """What is looked for; empty is the training vocabulary."""
    limit: int | None = None
    """Only the first so many images."""

    def __post_init__(self) -> None:
        check_least("validation.every", self.every, 0)
        if self.limit is not None:
            check_least("validation.limit", self.limit, 1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a training run computes."""

    task: str = "head"
    """`head` (masks and words on a frozen diffusion model), `clip`, `autoencoder`, `diffusion`."""
    supervision: str = "label"
    """Of `head`: `label` or `caption`."""
    model: str = "label"
    """`label`, `caption`, `tiny` or a model folder: whose frozen parts are used, and whose head
    where `is_head_new` is false. Other tasks than `head` go on with its part of theirs; for them
    `new` is the tiny model as it is before it has learned anything."""
    is_head_new: bool = True
    """Start from a head of seeded random numbers instead of the model's own."""
    are_words_new: bool = False
    """Keep the masks of the model's own head and start what embeds masks and words, and tells
    objects from none, from seeded random numbers: the head may be one of other supervision."""
    alpha: float | None = None
    """Of `head`: the weight of CLIP's opinion on categories that were trained, 0..1, that the
    trained model has. None is the model's own where its head goes on, and the published value of
    the supervision where a new one starts. Decides no bit of the weights, but what they score."""
    beta: float | None = None
    """The same of categories that were not trained."""
    freeze_captioner: bool = False
    """Leave the implicit captioner as it is."""
    freeze_masks: bool = False
    """Of `head`: leave the captioner and the masks as they are; what embeds masks and words, and
    tells objects from none, learns. Several times as fast, when words or CLIP have changed."""
    hidden_words: float = 0.0
    """Of `head` with labels: share of the words that are hidden from each image. What they are for
    has no name then and is an object all the same, as things will be that were never labelled."""
    freeze_text: bool = False
    """Of `clip`: leave the text tower as it is, so that a head that knows its embeddings stays
    valid. Otherwise it has to learn words anew: `freeze_masks`."""
    steps: int = 1000
    """Updates of the weights."""
    batch_size: int = 64
    """Images of one step, over all processes and passes."""
    images_per_pass: int | None = None
    """Images that a process takes at once; what `batch_size` has more is accumulated. None is
    the process's whole share."""
    seed: int = 42
    """Of the new head, the order of the images, augmentation and sampled points."""
    precision: str = "auto"
    """`auto`, `fp32`, `bf16` or `fp16`; weights and their updates are always fp32."""
    checkpoint_activations: bool = False
    """Compute activations twice instead of keeping them: slower, in far less memory."""
    num_points: int = 12544
    """Points at which masks are compared, in matching and in the losses of masks."""
    no_object_weight: float = 0.1
    """Of `head`: what a query without a mask counts in the loss of classes. The larger, the sooner
    a head learns to see every object once."""
    cache_features: bool = False
    """Keep the frozen networks' features of every image on disk, and its masks instead with
    `freeze_masks`; needs one of `freeze_captioner` and `freeze_masks`, and `data.augment = false`,
    because only then an image's features are always the same."""
    log_every: int = 20
    """Steps between lines of `metrics.jsonl`."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; there is one at the end, and when the run is stopped."""
    keep_checkpoints: int = 3
    """How many of the newest checkpoints stay."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    data: DataConfig = field(default_factory=DataConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        check_member("task", self.task, TASKS)
        check_member("supervision", self.supervision, SUPERVISIONS)
        check_member("precision", self.precision, RECIPE_PRECISIONS)
        for name in (
            *("steps", "batch_size", "num_points"),
            *("log_every", "checkpoint_every", "keep_checkpoints"),
        ):
            check_least(name, getattr(self, name), 1)
        if self.images_per_pass is not None:
            check_least("images_per_pass", self.images_per_pass, 1)
        check_least("seed", self.seed, 0)
        check_share("no_object_weight", self.no_object_weight)
        check_share("hidden_words", self.hidden_words)
        for name in ("alpha", "beta"):
            if (weight := getattr(self, name)) is not None:
                check_share(name, weight)
        self._check_task()
        self._check_what_stays()
        has_captions = self.data.captions or self.data.dataset == "world"
        if self.task == "head" and self.supervision == "caption" and not has_captions:
            raise UsageError(
                "data.captions: was not given. Expected a captions file: supervision is "
                "caption. Name one, such as annotations/captions_train2017.json."
            )

    def _check_task(self) -> None:
        """Refuse keys that mean nothing to the task."""
        if self.hidden_words and (self.task, self.supervision) != ("head", "label"):
            raise UsageError(
                f"hidden_words: {self.hidden_words} means nothing without labels. "
                "Expected task 'head' and supervision 'label'. Remove it."
            )
        for name in ("alpha", "beta"):
            if getattr(self, name) is not None and self.task != "head":
                raise UsageError(
                    f"{name}: means nothing to task {self.task!r}. Expected task 'head'. Remove it."
                )
        if self.freeze_text and self.task != "clip":
            raise UsageError(
                f"freeze_text: means nothing to task {self.task!r}. "
                "Expected task 'clip'. Remove it."
            )

    def _check_what_stays(self) -> None:
        """Refuse to keep what is not there, or what changes."""
        for name in ("freeze_masks", "are_words_new"):
            if getattr(self, name) and (self.task != "head" or self.is_head_new):
                raise UsageError(
                    f"{name}: there are no masks that could stay as they are. Expected task "
                    "'head' and a head that has learned. Set is_head_new = false."
                )
        captioner_learns = not (self.freeze_captioner or self.freeze_masks)
        if self.cache_features and (self.data.augment or captioner_learns):
            raise UsageError(
                "cache_features: the features of an image change from step to step here. "
                "Expected data.augment = false and freeze_captioner = true (or freeze_masks). "
                "Set both, or cache_features = false."
            )


def check_member(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a value that is none of those allowed.

    Raises:
        UsageError: naming the key.
    """
    if value not in allowed:
        raise UsageError(f"{name}: {value!r} is unknown. Expected {', '.join(allowed)}.")


def check_least(name: str, value: float, least: float) -> None:
    """Refuse a number below the least that means anything.

    Raises:
        UsageError: naming the key.
    """
    if not value >= least:  # NaN too
        raise UsageError(f"{name}: {value} is too small. Expected at least {least}.")


def check_share(name: str, value: float) -> None:
    """Refuse a number outside of 0..1.

    Raises:
        UsageError: naming the key.
    """
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{name}: {value} is out of range. Expected 0 to 1.")
