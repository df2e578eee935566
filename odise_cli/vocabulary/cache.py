"""Text embeddings on disk, by content: a word is embedded once per encoder and template.

Knows no encoder: the caller brings a function that embeds prompts. Nothing here can fail a run:
a cache that cannot be read or written is as good as none, and nothing in it is trusted that
does not have the checksum it was written with.

Below the cache's folder there is one folder per encoder, template and width, and in it packs:
files that are written once, under another name, and renamed. A pack holds the words that one
call had to compute; so an edit of one word adds a pack of one row, and processes that write at
the same time never touch each other's files.

    pack = sha256 of the rest (32 bytes) · N keys (32 bytes each) · N rows (D float32 each,
           little-endian)
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from odise_cli.vocabulary.prompt import fill_template

_HASH_BYTES: Final = 32
_MAX_PACKS: Final = 64
"""So many packs are folded into one, lest a long life of small edits fills a folder."""

Rows = dict[bytes, NDArray[np.float32]]
"""Key of a word → [D] its embedding."""


class TextEmbeddingCache:
    """A folder of text embeddings, shared by all runs and processes of a user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_or_compute(
        self,
        words: Sequence[str],
        *,
        template: str,
        encoder: str,
        dim: int,
        compute: Callable[[list[str]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """The embeddings of words, computing only those that the cache does not have.

        Args:
            words: the N words, repetitions allowed.
            template: what each is put into, e.g. "a photo of a {}.".
            encoder: names everything else that decides the numbers: architecture, the weights'
                hash, precision.
            dim: the encoder's width D.
            compute: embeds M prompts (words in the template) as [M, D]; called at most once,
                with each missing prompt once, in order of appearance. The row of a prompt must
                not depend on the others in the call if results are to be the same to the last
                bit whatever the cache already has.

        Returns:
            [N, D] embeddings, float32.
        """
        keys = [_digest([encoder, template, word]) for word in words]
        prompts = {
            key: fill_template(template, word) for key, word in zip(keys, words, strict=True)
        }
        folder = self._folder / _digest([encoder, template, dim]).hex()[:16]
        rows = _read_rows(folder, prompts.keys(), dim)
        missing = [key for key in prompts if key not in rows]
        if missing:
            computed = np.asarray(compute([prompts[key] for key in missing]), dtype=np.float32)
            assert computed.shape == (len(missing), dim), computed.shape
            new_rows = dict(zip(missing, computed, strict=True))
            # A read-only, full or vanished folder costs time in the next run, and nothing else.
            with contextlib.suppress(OSError):
                _store_rows(folder, new_rows, dim)
            rows |= new_rows
        return np.array([rows[key] for key in keys], dtype=np.float32).reshape(len(keys), dim)


def _digest(content: list[str | int]) -> bytes:
    """sha256 of a list, in which no two different lists are spelled the same."""
    return hashlib.sha256(json.dumps(content).encode()).digest()


def _packs(folder: Path) -> list[Path]:
    """The packs of a folder in order of name; none where there is no such folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".pack")
    except OSError:
        return []


def _read_rows(folder: Path, wanted: Set[bytes], dim: int) -> Rows:
    """Those of the wanted rows that whole packs have; the first pack that has a row counts."""
    rows: Rows = {}
    for path in _packs(folder):
        missing = wanted - rows.keys()
        if not missing:
            break
        pack = _read_pack(path, missing, dim)
        rows |= {key: pack[key] for key in missing & pack.keys()}
    return rows


def _read_pack(path: Path, wanted: Set[bytes] | None, dim: int) -> Rows:
    """All rows of a pack; none if it has none that is wanted, or is damaged (it is removed)."""
    # Another process may have folded this pack into a new one, or may not let us read it.
    with contextlib.suppress(OSError), path.open("rb") as file:
        row_bytes = 4 * dim
        size = os.fstat(file.fileno()).st_size
        count, excess = divmod(size - _HASH_BYTES, _HASH_BYTES + row_bytes)
        checksum, block = file.read(_HASH_BYTES), file.read(max(count, 0) * _HASH_BYTES)
        keys = [block[i : i + _HASH_BYTES] for i in range(0, len(block), _HASH_BYTES)]
        if wanted is not None and excess == 0 and wanted.isdisjoint(keys):
            return {}
        values = file.read()
        if excess == 0 and hashlib.sha256(block + values).digest() == checksum:
            matrix = np.frombuffer(values, dtype="<f4").reshape(count, dim)
            return dict(zip(keys, matrix, strict=True))
        path.unlink()
    return {}


def _store_rows(folder: Path, rows: Rows, dim: int) -> None:
    """Write rows as a pack of their own, or together with all others if these are too many.

    Raises:
        OSError: the folder cannot be written; then it is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old_packs = _packs(folder)
    if len(old_packs) < _MAX_PACKS:
        _write_pack(folder, rows)
        return
    folded = dict(rows)
    for path in old_packs:
        folded = {**_read_pack(path, None, dim), **folded}
    written = _write_pack(folder, folded)
    for path in old_packs:
        if path != written:
            path.unlink(missing_ok=True)


def _write_pack(folder: Path, rows: Rows) -> Path:
    block = b"".join(rows)
    content = block + np.array(list(rows.values()), dtype="<f4").tobytes()
    path = folder / f"{hashlib.sha256(block).hexdigest()[:32]}.pack"
    # The name is new, whoever else writes the same words at this moment on another machine.
    temporary = folder / f".{os.urandom(8).hex()}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
