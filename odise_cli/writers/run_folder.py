"""The output folder of a run: results go in, and survive whatever happens to the process.

Start reading here. `write` may be called from several threads; a result counts once its
manifest line is there. Knows files; does not know where results come from, nor does it print.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self

from odise_cli.config import OUTPUTS
from odise_cli.errors import UsageError
from odise_cli.storage import Location
from odise_cli.structures import Category, FailedImage, ImageRecord, ImageResult
from odise_cli.writers.atomic import write_atomic
from odise_cli.writers.cleaning import remove_earlier_run, remove_leftovers
from odise_cli.writers.collect import collect
from odise_cli.writers.encoded import EncodedImage, encode_image
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.layout import (
    COLLECTED_FILES,
    JOURNAL,
    MANIFEST,
    RUN_JSON,
    collected_files,
    image_file,
    image_files,
    top_level_names,
)
from odise_cli.writers.line_log import LineLog, lines_at
from odise_cli.writers.manifest import Row, done_line, failed_line, json_line, load_rows
from odise_cli.writers.run_json import RunJson, check_same_settings, read_run_json
from odise_cli.writers.semantic import check_category_count, semantic_labels
from odise_cli.writers.store import LocalStore, Store, copy, glance, open_store


class RunFolder:
    """An output folder that this process holds; made by `open`, a context manager."""

    def __init__(
        self,
        store: Store,
        *,
        run: RunJson,
        rows: dict[str, Row],
        manifest: LineLog,
        journal: LineLog,
        resources: ExitStack,
    ) -> None:
        """Take over a folder that `open` has locked and prepared."""
        self.path = store.path
        self._store = store
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
        place: Location,
        *,
        settings: Mapping[str, Any],
        info: Mapping[str, Any],
        categories: Sequence[Category],
        outputs: Sequence[str],
        overwrite: bool,
    ) -> Self:
        """Make or take up the folder `place`, and write its `run.json`.

        What a killed run left half done is removed here.

        Args:
            place: the output folder.
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
            store = stack.enter_context(open_store(place))
            rows = _prepare(place, store, run, overwrite=overwrite)
            manifest = stack.enter_context(closing(LineLog(store.path / MANIFEST)))
            journal = stack.enter_context(closing(LineLog(store.path / JOURNAL)))
            return cls(
                store,
                run=run,
                rows=rows,
                manifest=manifest,
                journal=journal,
                resources=stack.pop_all(),
            )

    @property
    def is_remote(self) -> bool:
        """Whether its files go to an object store."""
        return not isinstance(self._store, LocalStore)

    @property
    def known(self) -> dict[str, tuple[int, str]]:
        """(image id, stem) by name of every image that an earlier run or this one recorded."""
        return {name: (row.image_id, row.stem) for name, row in self._rows.items()}

    @property
    def status(self) -> dict[str, Literal["done", "failed"]]:
        """`done` or `failed` by name; an image that has lost one of its files is neither."""
        return {name: row.status for name, row in self._rows.items() if row.status != "lost"}

    def write(self, result: ImageResult | EncodedImage) -> EncodedImage:
        """Write all files of one image, then say in the manifest that they are there.

        Args:
            result: what was found in it; bytes already if somebody else has encoded it.

        Raises:
            TryAgainError: the disk is full; the image then counts as not done.
            ImageError: the image fits none of the asked-for formats.
            UsageError: the folder cannot be written.
        """
        if isinstance(result, ImageResult):
            image = encode_image(result, outputs=self._outputs, categories=self._categories)
        else:
            image = result
        started = time.perf_counter()
        record = image.record
        journal_offset = self._journal.append(image.journal_line)
        for output, data in image.files.items():
            self._store.write(image_file(self.path, output, record.stem), data)
        write_ms = image.encode_ms + (time.perf_counter() - started) * 1000
        line = done_line(
            record,
            size=image.size,
            num_segments=image.num_segments,
            stage_ms={**image.stage_ms, "write": write_ms},
        )
        self._rows[record.name] = Row(
            record.image_id, record.stem, "done", self._manifest.append(line), journal_offset
        )
        return image

    def write_failure(self, failed: FailedImage) -> None:
        """Say in the manifest that an image has no result, and why; its files are removed.

        Raises:
            OdiseError: as `write`.
        """
        record = failed.record
        for path in image_files(self.path, self._outputs, record.stem):
            self._store.remove(path)
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
            journal_offset = self._journal.append(source.journal_line(row), flush=False)
            for file in source.files(name):
                copy(source.store, source.store.path / file, self._store, self.path / file)
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
        self._store.publish(collected_files(self.path, self._outputs))
        self._store.publish(self.path / name for name in (JOURNAL, MANIFEST))
        replace(self._run, totals={**totals, **notes}).write(self.path / RUN_JSON)
        self._store.publish([self.path / RUN_JSON])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def _line(self, row: Row) -> bytes:
        """What the manifest says of an image."""
        return next(lines_at(self.path / MANIFEST, [row.manifest_offset]))


def check_run_folder(
    place: Location,
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
    run = _new_run(settings, {}, categories, outputs)
    with glance(place) as store:
        _run_to_remove(place, store, run, overwrite=overwrite)


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


def _prepare(place: Location, store: Store, run: RunJson, *, overwrite: bool) -> dict[str, Row]:
    """Leave nothing in the locked folder but results of the same settings, and list them."""
    doomed = _run_to_remove(place, store, run, overwrite=overwrite)
    if doomed is not None:
        remove_earlier_run(store, doomed.outputs)
    rows, unfinished = load_rows(store.path, run.outputs, is_file=store.is_file)
    remove_leftovers(store, run.outputs, unfinished)
    run.write(store.path / RUN_JSON)
    store.publish([store.path / RUN_JSON])
    if "semantic" in run.outputs:
        labels = json_line(semantic_labels(run.categories()))
        write_atomic(store.path / COLLECTED_FILES["semantic"], labels)
    return rows


def _run_to_remove(
    place: Location, store: Store, run: RunJson, *, overwrite: bool
) -> RunJson | None:
    """The earlier run that the new one takes the place of; None if it goes on, or is the first."""
    earlier = read_run_json(store.path / RUN_JSON)
    if earlier is None:
        _check_no_foreign_files(place, store, run.outputs)
        return None
    if overwrite or (earlier.sha256 != run.sha256 and _is_barren(store, earlier)):
        return earlier
    check_same_settings(
        place,
        found=earlier,
        expected=run,
        expected_by="asked for now",
        advice="Add --overwrite to start anew, or give another --out.",
    )
    return None


def _is_barren(store: Store, run: RunJson) -> bool:
    """Whether a run came to no result, as when its weights did not fit: nothing can be mixed."""
    return run.totals is None and not any(load_rows(store.path, run.outputs, is_file=store.is_file))


def _check_no_foreign_files(place: Location, store: Store, outputs: Sequence[str]) -> None:
    foreign = [name for name in top_level_names(outputs) if store.is_taken(store.path / name)]
    if foreign:
        raise UsageError(
            f"{place}: holds {', '.join(foreign)}, but no {RUN_JSON} of a run that made them. "
            "Files of others are never replaced. Move them away, or give another --out."
        )
