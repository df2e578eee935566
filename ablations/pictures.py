"""Pictures to train on and to score on: drawn once, or anybody's own in the same layout."""

import json
from pathlib import Path

from ablations.commands import odise

TRAINING, HELD_OUT, SEEN = "train", "held-out", "seen.json"
_TRAINING_SEED = 7
"""Below 100 as all training of the bundled model; the held-out scenes have `odise draw`'s own."""


def draw_pictures(folder: Path, *, scenes: int, held_out: int, size: str) -> None:
    """Draw what is not there yet: training without unseen concepts, held-out scenes with all.

    Args:
        folder: of the pictures.
        scenes: to train on; 0 if nothing is trained.
        held_out: to score on.
        size: as `odise draw` has it.
    """
    if scenes and not (folder / TRAINING / "panoptic.json").exists():
        options = ["--only-seen", "--close-up", "0.25", "--seed", str(_TRAINING_SEED)]
        out = ["--out", str(folder / TRAINING), "--scenes", str(scenes), "--size", size]
        odise("draw", *out, *options)
    if not (folder / HELD_OUT / "panoptic.json").exists():
        out = ["--out", str(folder / HELD_OUT), "--scenes", str(held_out), "--size", size]
        odise("draw", *out)


def write_seen(pictures: Path, path: Path) -> Path:
    """The training annotations with the categories that occur in them: the words to be taught."""
    truth = json.loads((pictures / TRAINING / "panoptic.json").read_text(encoding="utf-8"))
    seen = {s["category_id"] for row in truth["annotations"] for s in row["segments_info"]}
    truth["categories"] = [row for row in truth["categories"] if row["id"] in seen]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(truth), encoding="utf-8")
    return path
