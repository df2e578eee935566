"""Files of ours that are no longer wanted: leftovers of killed runs, and runs to overwrite.

Removes only what journal and manifest say that we wrote; files of others stay.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from odise_cli.writers.atomic import explained_errors, temporary_path
from odise_cli.writers.layout import (
    JOURNAL,
    MANIFEST,
    RUN_JSON,
    collected_files,
    image_files,
)
from odise_cli.writers.line_log import read_lines
from odise_cli.writers.manifest import parse_line
from odise_cli.writers.store import Store


def remove_leftovers(store: Store, outputs: Sequence[str], stems: Iterable[str]) -> None:
    """Remove what killed runs left: temporaries, and files of images that are not done.

    Args:
        store: the run folder.
        outputs: what its runs write.
        stems: images that are not done, as `manifest.load_rows` finds them.

    Raises:
        OdiseError: as `atomic.explained_errors` says.
    """
    for path in (
        *collected_files(store.path, outputs),
        *(store.path / n for n in (RUN_JSON, MANIFEST, JOURNAL)),
    ):
        with explained_errors(path):
            temporary_path(path).unlink(missing_ok=True)
    for stem in stems:
        _remove_image(store, outputs, stem)


def remove_earlier_run(store: Store, outputs: Sequence[str]) -> None:
    """Remove everything that runs of these outputs wrote, `run.json` excepted.

    Journal and manifest go last: killed in between, the next run still knows what is ours.

    Raises:
        OdiseError: as `atomic.explained_errors` says.
    """
    for path in collected_files(store.path, outputs):
        store.remove(path)
    for stem in _all_stems(store.path):
        _remove_image(store, outputs, stem)
    for name in (MANIFEST, JOURNAL):
        store.remove(store.path / name)


def _all_stems(folder: Path) -> Iterator[str]:
    for name in (JOURNAL, MANIFEST):
        for _, line in read_lines(folder / name):
            entry = parse_line(line)
            if entry is not None:
                yield entry["stem"]


def _remove_image(store: Store, outputs: Sequence[str], stem: str) -> None:
    for path in image_files(store.path, outputs, stem):
        store.remove(path)
        _remove_empty_folders(path.parent, root=store.path)


def _remove_empty_folders(folder: Path, *, root: Path) -> None:
    while folder != root:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:  # holds other files
            return
        folder = folder.parent
