"""`odise segment`: sources and words in, a folder of results out; top to bottom.

Everything cheap that can fail (words, images, the folder) is settled before a weight is loaded.
"""

import importlib.metadata
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import replace
from typing import Any

import odise_cli
from odise_cli.commands.canvas_watch import CanvasWatch
from odise_cli.commands.model_source import ModelSource
from odise_cli.commands.network_source import ExportedSource, find_network
from odise_cli.commands.ray_cluster import open_cluster
from odise_cli.commands.result_writers import ResultWriters, Tally
from odise_cli.commands.segment_pipeline import Devices, SegmentJob, ThisMachine
from odise_cli.config import SegmentConfig
from odise_cli.data.plan import plan_batches
from odise_cli.data.records import make_records
from odise_cli.data.sources import SourceList, find_images
from odise_cli.model.clip import count_tokens
from odise_cli.placement import Placement
from odise_cli.reports.segmentation import SegmentPlan, SegmentReport
from odise_cli.storage import is_below, parse_location
from odise_cli.structures import ImageRecord
from odise_cli.vocabulary.checks import check_word_lengths
from odise_cli.vocabulary.loader import load_vocabulary
from odise_cli.writers.layout import RUN_JSON
from odise_cli.writers.manifest import Row, load_rows
from odise_cli.writers.run_folder import RunFolder, check_run_folder
from odise_cli.writers.run_json import RunJson, read_run_json
from odise_cli.writers.store import glance

_REPORTED_PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "numpy", "pillow")
_ESTIMATED_BYTES = {
    "panoptic": 40_000,
    "instances": 100_000,
    "semantic": 40_000,
    "overlay": 300_000,
    "segments": 20_000,
}
"""Of one photograph of a megapixel; seen, not promised."""


def plan_segment(config: SegmentConfig, *, images: SourceList | None = None) -> SegmentPlan:
    """Say what `run_segment` would do; reads names and an earlier manifest, writes nothing.

    Args:
        config: what was asked for.
        images: in place of those that the sources hold.

    Raises:
        OdiseError: what `run_segment` would raise before its first image.
    """
    vocabulary, _ = load_vocabulary(config.vocab, stuff=config.stuff)
    check_word_lengths(vocabulary, count_tokens)
    source = find_network(config.model, weights=config.weights)
    images = images or _find_images(config)
    with _devices(config) as devices:
        placement = devices.place(source.settled(config))
    check_run_folder(
        config.out,
        settings=_settings(config, source, images, placement),
        categories=vocabulary.categories,
        outputs=config.write,
        overwrite=config.overwrite,
    )
    rows = {} if config.overwrite else _earlier_rows(config, config.write)
    known = {name: (row.image_id, row.stem) for name, row in rows.items()}
    records = _make_records(images, known)
    selected = _select(records, config)
    done = {name for name, row in rows.items() if row.status == "done"}
    num_finished = sum(record.name in done for record in selected)
    bytes_per_image = sum(_ESTIMATED_BYTES[output] for output in config.write)
    return SegmentPlan(
        num_images=len(records),
        num_selected=len(selected),
        num_finished=num_finished,
        num_skipped_files=images.num_skipped_files,
        num_categories=len(vocabulary.categories),
        model=config.model,
        outputs=config.write,
        out=config.out,
        estimated_bytes=bytes_per_image * (len(selected) - num_finished),
    )


def run_segment(  # long because: the whole command, top to bottom
    config: SegmentConfig,
    *,
    on_notice: Callable[[str], None],
    on_progress: Callable[[int, int, int], None],
    should_stop: Callable[[], bool],
    images: SourceList | None = None,
) -> SegmentReport:
    """Segment every image that has no result yet.

    Args:
        config: what was asked for.
        on_notice: told, once each, what the user should know.
        on_progress: told (done, failed, total) after each image.
        should_stop: asked between batches; the batch in hand is always finished.
        images: in place of those that the sources hold.

    Raises:
        OdiseError: when the run cannot begin or go on; `ImageError` only with `fail_fast` or
            `max_failures`. What was finished is kept.
    """
    vocabulary, warnings = load_vocabulary(config.vocab, stuff=config.stuff)
    check_word_lengths(vocabulary, count_tokens)
    source = find_network(config.model, weights=config.weights)
    images = images or _find_images(config)
    with ExitStack() as stack:
        devices = stack.enter_context(_devices(config))
        placement = devices.place(source.settled(config))
        for message in (*warnings, source.notice, placement.notice):
            if message:
                on_notice(message)
        folder = stack.enter_context(
            RunFolder.open(
                config.out,
                settings=_settings(config, source, images, placement),
                info=_info(config, source, images, placement),
                categories=vocabulary.categories,
                outputs=config.write,
                overwrite=config.overwrite,
            )
        )
        records = _make_records(images, folder.known)
        selected = _select(records, config)
        status = folder.status
        num_finished = sum(status.get(record.name) == "done" for record in selected)
        tally = Tally(
            num_pending=len(selected) - num_finished,
            on_progress=on_progress,
            fail_fast=config.fail_fast,
            max_failures=config.max_failures,
        )
        started = time.perf_counter()
        num_halvings = 0
        if tally.num_pending and not should_stop():
            pipeline = devices.start(
                SegmentJob(config=config, source=source, vocabulary=vocabulary, placement=placement)
            )
            started = time.perf_counter()
            watch = CanvasWatch(source.config, source.canvases, on_notice)
            batches = plan_batches(
                records,
                batch_size=placement.batch_size,
                status=status,
                shard=config.shard,
                limit=config.limit,
            )
            with (
                closing(pipeline.run(batches, should_stop=should_stop)) as results,
                ResultWriters(folder, tally) as writers,
            ):
                for batch, batch_results in results:
                    watch.look_at(batch_results)
                    writers.write(batch, batch_results)
            num_halvings = pipeline.num_batch_halvings
        if num_halvings:
            on_notice(f"{placement.device}: out of memory; went on with smaller batches.")
        report = SegmentReport(
            out=config.out,
            num_selected=len(selected),
            num_finished_before=num_finished,
            num_done=tally.num_done,
            num_failed=tally.num_failed,
            num_skipped_files=images.num_skipped_files,
            num_segments=tally.num_segments,
            seconds=time.perf_counter() - started,
            stage_ms=dict(tally.stage_ms),
            num_batch_halvings=num_halvings,
            first_failures=tuple(tally.first_failures),
            is_interrupted=tally.num_settled < tally.num_pending,
        )
        if not report.is_interrupted:
            folder.finish(records, report.to_json())
        return report


def _find_images(config: SegmentConfig) -> SourceList:
    images = find_images(
        config.sources,
        from_file=config.from_file,
        null_separated=config.null_separated,
        # Only our own pictures: the output folder may be the very folder of the images.
        excluded=[config.out / name for name in ("panoptic", "semantic", "overlays")],
    )
    earlier = _earlier_run(config)
    if earlier is None:
        return images
    root = parse_location(earlier.settings["root"])
    if root == images.root or not is_below(images.root, root):
        return images
    # A part of an earlier run's images, such as its failures.txt, goes by the names it had there.
    rows = _earlier_rows(config, earlier.outputs)
    is_part = all(record.name in rows for record in make_records(images.paths, root))
    return replace(images, root=root) if is_part else images


def _earlier_run(config: SegmentConfig) -> RunJson | None:
    return None if config.overwrite else read_run_json(config.out / RUN_JSON)


def _earlier_rows(config: SegmentConfig, outputs: Sequence[str]) -> dict[str, Row]:
    with glance(config.out) as store:
        return load_rows(store.path, outputs, is_file=store.is_file)[0]


def _devices(config: SegmentConfig) -> AbstractContextManager[Devices]:
    if config.engine == "ray":
        return open_cluster(config.ray_address, num_actors=config.ray_actors)
    return nullcontext(ThisMachine())


def _make_records(
    images: SourceList, known: Mapping[str, tuple[int, str]]
) -> tuple[ImageRecord, ...]:
    return make_records(images.paths, images.root, known=known, image_ids=images.image_ids)


def _select(records: Sequence[ImageRecord], config: SegmentConfig) -> Sequence[ImageRecord]:
    """The images of this shard and limit."""
    first, end = config.bounds(len(records))
    return records[first:end]


def _settings(
    config: SegmentConfig,
    source: ModelSource | ExportedSource,
    images: SourceList,
    placement: Placement,
) -> dict[str, Any]:
    """Everything but the vocabulary that decides a result's bits; a folder keeps to it."""
    return {
        "root": str(images.root),
        "weights": source.weights_sha256(),
        "model": source.config.to_json(),
        "alpha": source.config.alpha if config.alpha is None else config.alpha,
        "beta": source.config.beta if config.beta is None else config.beta,
        "overlap_threshold": config.overlap_threshold,
        "object_mask_threshold": config.object_mask_threshold,
        "unknown_threshold": config.unknown_threshold,
        "device": placement.device.type,
        "precision": placement.precision_name,
        "batch_size": placement.batch_size,
        "seed": config.seed,
        **({} if config.max_short_side is None else {"max_short_side": config.max_short_side}),
        **({"compile": True} if placement.compiles else {}),
    }


def _info(
    config: SegmentConfig,
    source: ModelSource | ExportedSource,
    images: SourceList,
    placement: Placement,
) -> dict[str, Any]:
    """What is good to know of a run and decides nothing."""
    full_list = images.fingerprint()
    earlier = _earlier_run(config)
    if earlier is not None and "images" in earlier.info:
        # A part of the list, such as failures.txt, does not make the folder one of that part.
        full_list = max(full_list, earlier.info["images"], key=lambda each: each["count"])
    versions = {name: importlib.metadata.version(name) for name in _REPORTED_PACKAGES}
    return {
        "odise": odise_cli.__version__,
        "packages": versions,
        "model": config.model,
        "notice": source.notice,
        "images": full_list,
        "vocab": list(config.vocab),
        "device": str(placement.device),
    }
