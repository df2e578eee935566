"""The output folder of a run: results go in, and survive whatever happens to the process.

Start reading here. `write` may be called from several threads; a result counts once its
manifest line is there. Knows files; does not know where results come from, nor does it print.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from odise_cli.config import OUTPUTS
from odise_cli.errors import UsageError
from odise_cli.structures import Category, FailedImage, ImageRecord, ImageResult
from odise_cli.writers.atomic import link_atomic, remove_file, write_atomic
from odise_cli.writers.cleaning import remove_earlier_run, remove_leftovers
from odise_cli.writers.collect import collect
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.instances import instance_results
from odise_cli.writers.layout import (
    COLLECTED_FILES,
    IMAGE_FILES,
    JOURNAL,
    LOCK,
    MANIFEST,
    RUN_JSON,
    image_file,
    image_files,
    top_level_names,
)
from odise_cli.writers.line_log import LineLog, lines_at
from odise_cli.writers.lock import exclusive_lock
from odise_cli.writers.manifest import Row, done_line, failed_line, json_line, load_rows
from odise_cli.writers.overlay import encode_overlay_jpeg
from odise_cli.writers.panoptic import encode_panoptic_png, panoptic_annotation
from odise_cli.writers.regions import panoptic_to_regions
from odise_cli.writers.run_json import RunJson, check_same_settings, read_run_json
from odise_cli.writers.segments import segment_lines
from odise_cli.writers.semantic import check_category_count, encode_semantic_png, semantic_labels


class RunFolder:
    """An output folder that this process holds; made by `open`, a context manager."""

    def __init__(
        self,
        path: Path,
        *,
        run: RunJson,
        rows: dict[str, Row],
        manifest: LineLog,
        journal: LineLog,
        resources: ExitStack,
    ) -> None:
        """Take over a folder that `open` has locked and prepared."""
        self.path = path
        self._run = run
        self._categories = run.categories()
        self._outputs = run.outputs
        self._rows = rows
        self._manifest = manifest
        self._journal = journal
        self._resources = resources

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        settings: Mapping[str, Any],
        info: Mapping[str, Any],
        categories: Sequence[Category],
        outputs: Sequence[str],
        overwrite: bool,
    ) -> Self:
        """Make or take up the folder `path`, and write its `run.json`.

        What a killed run left half done is removed here.

        Args:
            path: the output folder.
            settings: JSON values that decide the results; `outputs` and `categories`, which
                do so too, need not be among them.
            info: JSON values for `run.json` that are good to know and never compared.
            categories: the vocabulary.
            outputs: some of `config.OUTPUTS`.
            overwrite: first remove what earlier runs wrote, whatever their settings.

        Raises:
            SettingsChangedError: the folder holds results of other settings.
            UsageError: the folder cannot be written, holds files of others under our names, or
                the vocabulary is too large for an output.
            TryAgainError: another run holds the folder, or the disk is full.
        """
        run = _new_run(settings, info, categories, outputs)
        with ExitStack() as stack:
            stack.enter_context(exclusive_lock(path / LOCK))
            rows = _prepare(path, run, overwrite=overwrite)
            manifest = stack.enter_context(closing(LineLog(path / MANIFEST)))
            journal = stack.enter_context(closing(LineLog(path / JOURNAL)))
            return cls(
                path,
                run=run,
                rows=rows,
                manifest=manifest,
                journal=journal,
                resources=stack.pop_all(),
            )

    @property
    def known(self) -> dict[str, tuple[int, str]]:
        """(image id, stem) by name of every image that an earlier run or this one recorded."""
        return {name: (row.image_id, row.stem) for name, row in self._rows.items()}

    @property
    def status(self) -> dict[str, Literal["done", "failed"]]:
        """`done` or `failed` by name; an image that has lost one of its files is neither."""
        return {name: row.status for name, row in self._rows.items() if row.status != "lost"}

    def write(self, result: ImageResult) -> None:
        """Write all files of one image, then say in the manifest that they are there.

        Raises:
            TryAgainError: the disk is full; the image then counts as not done.
            ImageError: the image fits none of the asked-for formats.
            UsageError: the folder cannot be written.
        """
        started = time.perf_counter()
        record = result.image.record
        journal_offset = self._journal.append(json_line(self._journal_entry(result)))
        for output in self._outputs:
            if output in IMAGE_FILES:
                path = image_file(self.path, output, record.stem)
                write_atomic(path, self._encoded(output, result))
        line = done_line(
            record,
            size=result.segmentation.size,
            num_segments=len(result.segmentation.segments),
            stage_ms={**result.stage_ms, "write": (time.perf_counter() - started) * 1000},
        )
        self._rows[record.name] = Row(
            record.image_id, record.stem, "done", self._manifest.append(line), journal_offset
        )

    def write_failure(self, failed: FailedImage) -> None:
        """Say in the manifest that an image has no result, and why; its files are removed.

        Raises:
            OdiseError: as `write`.
        """
        record = failed.record
        for path in image_files(self.path, self._outputs, record.stem):
            remove_file(path)
        offset = self._manifest.append(failed_line(failed))
        self._rows[record.name] = Row(record.image_id, record.stem, "failed", offset)

    def adopt(self, source: FinishedRun, name: str) -> None:
        """Take over one image of another run of the same settings, as it is, if not yet done.

        Raises:
            OdiseError: as `write`.
        """
        row, here = source.rows[name], self._rows.get(name)
        line = source.manifest_line(name)
        if here is not None and here.status == row.status and self._line(here) == line:
            return
        journal_offset = -1
        # Not flushed line by line: what a power cut costs here is quickly adopted again.
        if row.status == "done":
            journal_offset = self._journal.append(source.journal_line(name), flush=False)
            for file in source.files(name):
                link_atomic(source.path / file, self.path / file)
        offset = self._manifest.append(line, flush=False)
        self._rows[name] = replace(row, manifest_offset=offset, journal_offset=journal_offset)

    def finish(self, records: Sequence[ImageRecord], totals: Mapping[str, Any]) -> None:
        """Write the collected files and end the run: nothing may be written after it.

        Args:
            records: the images in the order that the files shall have; images of earlier runs
                that are not among them come last, in their old order.
            totals: JSON values for `run.json`: counts and times. Failed images whose path
                holds a newline fit no line of `failures.txt`; they are named here.

        Raises:
            OdiseError: as `write`.
        """
        names = dict.fromkeys(record.name for record in records)
        names.update(dict.fromkeys(self._rows))
        rows = [
            row
            for name in names
            if (row := self._rows.get(name)) is not None and row.status != "lost"
        ]
        unlisted = collect(self.path, rows=rows, outputs=self._outputs, categories=self._categories)
        notes = {"failures_not_listed": unlisted} if unlisted else {}
        replace(self._run, totals={**totals, **notes}).write(self.path / RUN_JSON)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def _journal_entry(self, result: ImageResult) -> dict[str, Any]:
        """What the collected files will say of one image."""
        record, segmentation = result.image.record, result.segmentation
        entry: dict[str, Any] = {"name": record.name, "stem": record.stem}
        if "panoptic" in self._outputs or "segments" in self._outputs:
            regions = panoptic_to_regions(segmentation.panoptic_HW)
            about = (record, segmentation.segments, regions, self._categories)
            if "panoptic" in self._outputs:
                entry["panoptic"] = panoptic_annotation(*about)
            if "segments" in self._outputs:
                entry["segments"] = segment_lines(*about)
        if "instances" in self._outputs:
            assert segmentation.instances is not None
            entry["instances"] = instance_results(
                segmentation.instances,
                image_id=record.image_id,
                size=segmentation.size,
                categories=self._categories,
            )
        return entry

    def _line(self, row: Row) -> bytes:
        """What the manifest says of an image."""
        return next(lines_at(self.path / MANIFEST, [row.manifest_offset]))

    def _encoded(self, output: str, result: ImageResult) -> bytes:
        """One file of one image."""
        if output == "panoptic":
            return encode_panoptic_png(result.segmentation.panoptic_HW)
        if output == "semantic":
            assert result.segmentation.semantic_HW is not None
            return encode_semantic_png(result.segmentation.semantic_HW)
        return encode_overlay_jpeg(result, self._categories)


def check_run_folder(
    path: Path,
    *,
    settings: Mapping[str, Any],
    categories: Sequence[Category],
    outputs: Sequence[str],
    overwrite: bool,
) -> None:
    """Refuse what `RunFolder.open` would refuse for its settings or files; changes nothing.

    Raises:
        SettingsChangedError: the folder holds results of other settings.
        UsageError: the folder holds files of others under our names, or the vocabulary is too
            large for an output.
    """
    _run_to_remove(path, _new_run(settings, {}, categories, outputs), overwrite=overwrite)


def _new_run(
    settings: Mapping[str, Any],
    info: Mapping[str, Any],
    categories: Sequence[Category],
    outputs: Sequence[str],
) -> RunJson:
    if "semantic" in outputs:
        check_category_count(len(categories))
    return RunJson.of(
        settings={**settings, "write": [name for name in OUTPUTS if name in outputs]},
        categories=categories,
        info=info,
        totals=None,
    )


def _prepare(path: Path, run: RunJson, *, overwrite: bool) -> dict[str, Row]:
    """Leave nothing in the locked folder but results of the same settings, and list them."""
    doomed = _run_to_remove(path, run, overwrite=overwrite)
    if doomed is not None:
        remove_earlier_run(path, doomed.outputs)
    rows, unfinished = load_rows(path, run.outputs)
    remove_leftovers(path, run.outputs, unfinished)
    run.write(path / RUN_JSON)
    if "semantic" in run.outputs:
        labels = json_line(semantic_labels(run.categories()))
        write_atomic(path / COLLECTED_FILES["semantic"], labels)
    return rows


def _run_to_remove(path: Path, run: RunJson, *, overwrite: bool) -> RunJson | None:
    """The earlier run that the new one takes the place of; None if it goes on, or is the first."""
    earlier = read_run_json(path / RUN_JSON)
    if earlier is None:
        _check_no_foreign_files(path, run.outputs)
        return None
    if overwrite or (earlier.sha256 != run.sha256 and _is_barren(path, earlier)):
        return earlier
    check_same_settings(
        path,
        found=earlier,
        expected=run,
        expected_by="asked for now",
        advice="Add --overwrite to start anew, or give another --out.",
    )
    return None


def _is_barren(path: Path, run: RunJson) -> bool:
    """Whether a run came to no result, as when its weights did not fit: nothing can be mixed."""
    return run.totals is None and not any(load_rows(path, run.outputs))


def _check_no_foreign_files(path: Path, outputs: Sequence[str]) -> None:
    foreign = [name for name in top_level_names(outputs) if (path / name).exists()]
    if foreign:
        raise UsageError(
            f"{path}: holds {', '.join(foreign)}, but no {RUN_JSON} of a run that made them. "
            "Files of others are never replaced. Move them away, or give another --out."
        )
