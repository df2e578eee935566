"""`odise merge`: the folders of several shards become the folder of one run over everything."""

import heapq
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from odise_cli.errors import UsageError
from odise_cli.storage import Location
from odise_cli.structures import ImageRecord
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.run_folder import RunFolder
from odise_cli.writers.run_json import check_same_settings

_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True, kw_only=True)
class MergeReport:
    """How a merge ended."""

    out: Location
    num_folders: int
    num_done: int
    """Images with a result, in the merged folder."""
    num_failed: int
    """Images without one; each is a row of `failures.txt`."""
    num_missing: int | None
    """Images of the shards' list that no folder holds; None where they differ in their lists."""

    @property
    def exit_code(self) -> int:
        """0 if every image has a result, 3 if some failed or are missing."""
        return 3 if self.num_failed or self.num_missing else 0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**asdict(self), "out": str(self.out)}


def merge_runs(
    folders: Sequence[Location], out: Location, *, overwrite: bool = False
) -> MergeReport:
    """Join finished runs of the same settings and vocabulary.

    The folder `out` becomes what one run over all their images would have written, times and
    totals aside. Where two folders hold the same image, a result beats a failure, and otherwise
    the later folder wins. Images that `out` holds from an earlier merge stay. Files are linked
    where the file system can, else copied. Killed at any moment, the same merge goes on.

    Args:
        folders: output folders of `odise segment`.
        out: the folder to make or to add to.
        overwrite: remove what earlier runs and merges wrote to `out`.

    Raises:
        SettingsChangedError: two folders were made with other settings or vocabularies.
        UsageError: a folder has no finished run, is `out` itself, or two images share an id.
        TryAgainError: one of the folders is in use, or the disk is full.
    """
    _check_folders(folders, out)
    with ExitStack() as stack:
        runs = [stack.enter_context(FinishedRun.open(folder)) for folder in folders]
        _check_same_settings(runs)
        first, sources = runs[0], _choose_sources(runs)
        merged = stack.enter_context(
            RunFolder.open(
                out,
                settings=first.run.settings,
                info=first.run.info,
                categories=first.run.categories(),
                outputs=first.run.outputs,
                overwrite=overwrite,
            )
        )
        records = _records(runs, sources, earlier=merged.known)
        _check_no_clash(records)
        for name, run in sources.items():
            merged.adopt(run, name)
        status = list(merged.status.values())
        report = MergeReport(
            out=out,
            num_folders=len(folders),
            num_done=status.count("done"),
            num_failed=status.count("failed"),
            num_missing=_count_missing(runs, num_merged=len(status)),
        )
        shards = [{"folder": str(run.place), "totals": run.run.totals} for run in runs]
        merged.finish(records, {**report.to_json(), "merged": shards})
    return report


def _check_folders(folders: Sequence[Location], out: Location) -> None:
    if not folders:
        raise UsageError("DIR: no folder to merge was given. Expected output folders. Name some.")
    for folder in folders:
        if folder == out or (
            isinstance(folder, Path) and isinstance(out, Path) and folder.resolve() == out.resolve()
        ):
            raise UsageError(
                f"--out: {out} is also a folder to merge. Expected another. "
                "Give the merged results a folder of their own."
            )


def _check_same_settings(runs: Sequence[FinishedRun]) -> None:
    for run in runs[1:]:
        check_same_settings(
            run.place,
            found=run.run,
            expected=runs[0].run,
            expected_by=str(runs[0].place),
            advice="Merge folders of one setting only.",
        )


def _choose_sources(runs: Sequence[FinishedRun]) -> dict[str, FinishedRun]:
    """The folder that each image is taken from."""
    sources: dict[str, FinishedRun] = {}
    for run in runs:
        for name, row in run.rows.items():
            earlier = sources.get(name)
            if earlier is None or row.status == "done" or earlier.rows[name].status == "failed":
                sources[name] = run
    return sources


def _count_missing(runs: Sequence[FinishedRun], *, num_merged: int) -> int | None:
    """How many images of the list that all folders were made from are in none of them."""
    lists = [run.run.info.get("images") for run in runs]
    if lists[0] is None or any(other != lists[0] for other in lists):
        return None
    return max(0, int(lists[0]["count"]) - num_merged)


def _records(
    runs: Sequence[FinishedRun],
    sources: Mapping[str, FinishedRun],
    *,
    earlier: Mapping[str, tuple[int, str]],
) -> list[ImageRecord]:
    """All images in the order of the full sorted list; the order within a folder is kept.

    Args:
        runs: the folders to merge.
        sources: the folder that each image is taken from.
        earlier: (image id, stem) by name of what the merged folder holds already.
    """
    known = {
        **earlier,
        **{name: (run.rows[name].image_id, run.rows[name].stem) for name, run in sources.items()},
    }
    names = heapq.merge(
        *(run.rows for run in runs), sorted(earlier, key=_natural_key), key=_natural_key
    )
    return [
        ImageRecord(path=Path(name), name=name, stem=known[name][1], image_id=known[name][0])
        for name in dict.fromkeys(names)
    ]


def _check_no_clash(records: Sequence[ImageRecord]) -> None:
    """Refuse two images of one id or one output name: one of them would vanish."""
    names_by_id: dict[int, str] = {}
    names_by_stem: dict[str, str] = {}
    for record in records:
        other = names_by_id.setdefault(record.image_id, record.name)
        if other != record.name:
            raise UsageError(
                f"{record.name}: has the image_id {record.image_id}, and so has {other}. "
                "Ids must differ. Merge only shards of one list of images, made with --shard."
            )
        other = names_by_stem.setdefault(record.stem, record.name)
        if other != record.name:
            raise UsageError(
                f"{record.name}: has the output name {record.stem}, and so has {other}. "
                "Names must differ. Merge only shards of one list of images, made with --shard."
            )


def _natural_key(name: str) -> tuple[str, str]:
    """Sorts as `data.sources` sorts paths: numbers by value, a folder's contents together."""

    def by_value(match: re.Match[str]) -> str:
        digits = match[0].lstrip("0")
        return f"0{len(digits):06d}{digits}"

    return _DIGITS.sub(by_value, name.replace("/", "\0")), name
