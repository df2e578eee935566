"""Runs of `odise segment` on small images: in this process, or in one that may be killed."""

import json
import multiprocessing
import os
import sys
from collections.abc import Iterable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from odise_cli.cli.app import main

VOCAB = "cat, kitten; tree | stuff; sky"
ALL_OUTPUTS = "panoptic,instances,semantic,overlay,segments"
TREE = ["a/x.jpg", "a/x.png", "b/2.png", "b/10.png", "top.jpg"]
# Its children are there at once: what takes seconds is imported when it starts, and only then.
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["odise_cli.commands.segment"])


def picture(number: int, size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    """The `number`-th image, [H, W, 3] RGB: coarse noise, as different as photographs are."""
    rng = np.random.default_rng(number)
    height, width = size
    coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width]


def write_images(folder: Path, names: Iterable[str]) -> Path:
    """Small images of these names, all different; every third one is upright."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (64, 48) if number % 3 == 2 else (48, 64)
        Image.fromarray(picture(number, size)).save(path)
    return folder


def segment(*argv: object) -> int:
    """The exit code of `odise segment` in this process."""
    return main(["segment", *map(str, argv)])


def start_segment(*argv: object, log: Path | None = None) -> ForkServerProcess:
    """`odise segment` in a process of its own, which may be killed; says what it says to `log`."""
    return start_odise("segment", *argv, log=log)


def start_odise(*argv: object, log: Path | None = None) -> ForkServerProcess:
    """`odise` in a process of its own, which may be killed; says what it says to `log`."""
    process = _FORKSERVER.Process(target=_exit_with_code, args=([str(a) for a in argv], log))
    process.start()
    return process


def _exit_with_code(argv: list[str], log: Path | None) -> None:
    descriptor = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.exit(main(argv))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def panoptic_ids(path: Path) -> NDArray[np.int64]:
    """[H, W] segment ids of a panoptic PNG, as its format's own page reads them."""
    rgb = np.asarray(Image.open(path)).astype(np.int64)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def panoptic_maps(preds: Path) -> dict[str, NDArray[np.int64]]:
    """Segment ids of every image of a run, by file."""
    return {
        path.relative_to(preds).as_posix(): panoptic_ids(path)
        for path in sorted((preds / "panoptic").rglob("*.png"))
    }


def different_share(preds: Path, others: Path) -> float:
    """Share of pixels whose segment ids differ between two runs, neither of them all void."""
    maps, other_maps = panoptic_maps(preds), panoptic_maps(others)
    assert maps.keys() == other_maps.keys() != set()
    assert any(ids.any() for ids in maps.values())
    different = sum((maps[name] != other_maps[name]).sum() for name in maps)
    return different / sum(ids.size for ids in maps.values())


def segments_of(preds: Path) -> list[dict[str, Any]]:
    """What a run says of its segments, a line each."""
    return read_lines(preds / "segments.jsonl")
