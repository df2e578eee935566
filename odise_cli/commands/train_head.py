"""The task `head`: masks and words on top of a frozen diffusion model.

Finding the parts opens no weights, so that whatever is missing is said before hours of work.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from odise_cli.commands.model_source import ModelSource, find_model
from odise_cli.commands.validation import ValidationData, find_validation_data, validate
from odise_cli.config import TrainConfig
from odise_cli.data.training.coco import (
    open_coco_panoptic_samples,
    open_coco_train,
)
from odise_cli.data.training.loading import Preparation
from odise_cli.data.training.nouns import caption_noun_phrases, caption_nouns
from odise_cli.data.training.samples import TrainingDataset
from odise_cli.data.training.stream import ShuffledStream
from odise_cli.data.world.dataset import WorldDataset
from odise_cli.engine import Engine
from odise_cli.errors import UsageError
from odise_cli.hub import LICENCE_NOTICE, cache_folder
from odise_cli.model.checkpoint import (
    HEAD_FILE,
    load_head,
    load_masks,
    save_head,
    save_referring_folder,
)
from odise_cli.model.clip import count_tokens
from odise_cli.model.config import PUBLISHED_CAPTION, PUBLISHED_LABEL, ModelConfig
from odise_cli.model.odise import Odise
from odise_cli.model.weights_file import read_tensors
from odise_cli.placement import Placement
from odise_cli.recipe.schema import Recipe
from odise_cli.training.batches import open_batches
from odise_cli.training.criterion import Criterion, LossWeights
from odise_cli.training.feature_cache import cache_features, cache_masks
from odise_cli.training.loop import Task
from odise_cli.training.new_head import initialise_head
from odise_cli.training.objective import TrainingObjective, freeze_masks
from odise_cli.training.point_sampling import PointSampler
from odise_cli.training.processes import gather_rows
from odise_cli.training.targets import TrainingBatch
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.checks import check_word_lengths
from odise_cli.vocabulary.loader import load_vocabulary
from odise_cli.vocabulary.vocabulary import Vocabulary

_BASES = {"label": PUBLISHED_LABEL, "caption": PUBLISHED_CAPTION}
_WORDS = {"nouns": caption_nouns, "phrases": caption_noun_phrases}
_CROPS_PER_RECOMPUTATION = 1
"""What is recomputed together is in memory together: 3.4 GiB a crop at full size."""
_FEATURES_FOLDER = "features"
_NOISE = 42
"""Seed of the diffusion model's fixed noise; the published one, and that of `odise segment`."""


@dataclass(frozen=True, kw_only=True)
class HeadParts:
    """Everything that training a head needs, found and not loaded."""

    source: ModelSource
    """With the configuration that the trained model will have."""
    vocabulary: Vocabulary
    samples: TrainingDataset
    validation: ValidationData | None
    warnings: tuple[str, ...]

    @property
    def notice(self) -> str:
        """What users must be told once; may be empty."""
        return self.source.notice

    @property
    def num_images(self) -> int:
        """Images to train on."""
        return len(self.samples)

    @property
    def num_validation_images(self) -> int:
        """Images to validate on."""
        return 0 if self.validation is None else len(self.validation.records)

    @property
    def num_categories(self) -> int:
        """Of the training vocabulary."""
        return len(self.vocabulary.categories)

    def build_task(self, config: TrainConfig, placement: Placement, stream: ShuffledStream) -> Task:
        """As `build_head_task`."""
        return build_head_task(config, self, placement, stream)


def find_head_parts(config: TrainConfig) -> HeadParts:
    """Find model, words, images and validation images.

    Raises:
        MissingDataError: something is not there.
        UsageError: files contradict each other, or the recipe.
    """
    recipe = config.recipe
    vocabulary, warnings = load_vocabulary(recipe.data.vocab)
    check_word_lengths(vocabulary, count_tokens)
    source = find_model(recipe.model, weights=None, has_head=not recipe.is_head_new)
    source = replace(source, config=_model_config(recipe, source.config, vocabulary))
    samples, counted = _open_samples(config, vocabulary)
    validation = None
    if recipe.validation.every:
        wanted = vocabulary
        if recipe.validation.vocab:
            wanted, more = load_vocabulary(recipe.validation.vocab)
            warnings += more
        validation = find_validation_data(recipe.validation, config.data, wanted)
    return HeadParts(
        source=source,
        vocabulary=vocabulary,
        samples=samples,
        validation=validation,
        warnings=(*warnings, *counted),
    )


def build_head_task(
    config: TrainConfig,
    parts: HeadParts,
    placement: Placement,
    stream: ShuffledStream,
) -> Task:
    """Load the model and make it a task.

    Args:
        config: what was asked for.
        parts: what was found.
        placement: where this process computes; its batch is that of one pass.
        stream: this process's share of the images.

    Raises:
        MissingDataError: a part of the model is missing.
        CheckpointError: a part cannot be used.
    """
    recipe = config.recipe
    model = _load_model(config, parts.source)
    engine = Engine(model, placement, is_learning=True)
    if recipe.checkpoint_activations:
        model.crops_per_pass = _CROPS_PER_RECOMPUTATION
    embed = partial(
        engine.embed_vocabulary,
        cache=TextEmbeddingCache(cache_folder() / "text"),
        encoder=parts.source.text_encoder_id(),
    )
    objective = TrainingObjective(
        model,
        _criterion(recipe),
        text=embed(parts.vocabulary).text if recipe.supervision == "label" else None,
        recomputes_diffusion=recipe.checkpoint_activations,
    )
    _freeze(recipe, model)
    if recipe.cache_features and recipe.freeze_masks:
        cache_masks(model, config.out / _FEATURES_FOLDER)
    elif recipe.cache_features:
        cache_features(model.diffusion, config.out / _FEATURES_FOLDER)
    samples, validation, num_images = parts.samples, parts.validation, placement.batch_size
    return Task(
        objective=objective,
        open_batches=partial(_open_batches, recipe, samples, stream, images_per_pass=num_images),
        write_weights=lambda folder: save_head(model, folder / HEAD_FILE),
        read_weights=lambda folder: _read_head(model, folder / HEAD_FILE),
        write_result=lambda folder: _save_model(model, parts.source, folder),
        validate=None
        if validation is None
        else lambda: validate(engine, embed(validation.vocabulary), validation),
    )


def _freeze(recipe: Recipe, model: Odise) -> None:
    if recipe.freeze_captioner:
        model.captioner.requires_grad_(False)
    if recipe.freeze_masks:
        freeze_masks(model)


def _criterion(recipe: Recipe) -> Criterion:
    return Criterion(
        gather=gather_rows,
        sampler=PointSampler(num_points=recipe.num_points),
        weights=LossWeights(no_object=recipe.no_object_weight),
        hidden_words=recipe.hidden_words,
    )


def _load_model(config: TrainConfig, source: ModelSource) -> Odise:
    recipe = config.recipe
    is_new = recipe.is_head_new or recipe.are_words_new
    model = source.load(offline=config.offline, seed=_NOISE, has_head=not is_new)
    if is_new:
        initialise_head(model, seed=recipe.seed)
    if recipe.are_words_new:
        load_masks(model, str(source.files.head), read_tensors(source.files.head))
    return model


def _model_config(recipe: Recipe, base: ModelConfig, vocabulary: Vocabulary) -> ModelConfig:
    """What the trained model's `odise.json` says.

    Raises:
        UsageError: the head that is there was trained with the other supervision.
    """
    keeps_words = not (recipe.is_head_new or recipe.are_words_new)
    if keeps_words and base.supervision != recipe.supervision:
        raise UsageError(
            f"supervision: {recipe.supervision!r}, and the head of {recipe.model!r} is one of "
            f"{base.supervision!r} supervision. Expected the same, or a new head. "
            "Set is_head_new = true, or are_words_new = true to keep its masks."
        )
    fused = base if keeps_words else _BASES[recipe.supervision]
    return replace(
        base,
        supervision=fused.supervision,
        alpha=fused.alpha if recipe.alpha is None else recipe.alpha,
        beta=fused.beta if recipe.beta is None else recipe.beta,
        training_words=vocabulary.words,
        is_trained=True,
        notice="" if recipe.is_head_new and base.notice == LICENCE_NOTICE else base.notice,
    )


def _open_samples(
    config: TrainConfig, vocabulary: Vocabulary
) -> tuple[TrainingDataset, tuple[str, ...]]:
    """The training images, and what there is to warn of."""
    data, needs_captions = config.recipe.data, config.recipe.supervision == "caption"
    if data.dataset == "world":
        world = WorldDataset(
            data.num_scenes,
            categories=vocabulary.categories,
            side_px=data.crop_size,
            seed=config.recipe.seed,
            close_up=data.close_up,
            min_window=data.min_window,
        )
        return world, ()
    if data.dataset == "coco":
        coco = open_coco_train(config.data, vocabulary.categories, with_captions=needs_captions)
        return coco, tuple(coco.warnings)
    pair = open_coco_panoptic_samples(
        config.data / data.annotations,
        config.data / data.masks,
        config.data / data.images,
        vocabulary.categories,
        captions=config.data / data.captions if needs_captions else None,
    )
    return pair, tuple(pair.warnings)


def _open_batches(
    recipe: Recipe,
    samples: TrainingDataset,
    stream: ShuffledStream,
    first: int,
    *,
    images_per_pass: int,
) -> Iterator[TrainingBatch]:
    data = recipe.data
    preparation = Preparation(
        crop=(data.crop_size, data.crop_size),
        is_augmented=data.augment,
        min_scale=data.min_scale,
        max_scale=data.max_scale,
        words_of=_WORDS[data.words] if recipe.supervision == "caption" else None,
    )
    return open_batches(
        samples,
        stream,
        preparation,
        first=first,
        images_per_pass=images_per_pass,
        num_workers=data.num_workers,
    )


def _read_head(model: Odise, path: Path) -> None:
    empty_caption = model.captioner.empty_caption
    load_head(model, str(path), read_tensors(path), empty_caption=empty_caption)


def _save_model(model: Odise, source: ModelSource, folder: Path) -> None:
    """The run's folder as a model; frozen parts stay where they are."""
    assert source.files is not None
    save_referring_folder(model, source.files, folder)
