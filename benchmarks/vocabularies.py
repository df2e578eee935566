"""What larger vocabularies cost: 10, 1,203 and 20,000 categories, each in its own process.

    python benchmarks/vocabularies.py --record benchmarks/results.csv

Names are LVIS's, then LVIS's with an adjective. Words are embedded twice, the second time from the
cache; then two images are segmented with panoptic, semantic and instance output.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# As the command line does, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from throughput import append_row, git_commit, peak_rss_mib

from odise_cli.commands.model_source import find_model
from odise_cli.data.decode import decode_image
from odise_cli.engine import Engine
from odise_cli.host_memory import keep_freed_memory
from odise_cli.placement import place
from odise_cli.postprocess import SegmentOptions
from odise_cli.structures import ImageRecord
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.loader import load_vocabulary

SCENES = ("coast", "street")
ADJECTIVES = (
    *("red", "green", "blue", "small", "large", "old", "new", "wooden", "metal", "wet"),
    *("broken", "dark", "bright", "open", "closed", "round", "square", "thin"),
)


def main() -> None:
    """Measure each size and print; append rows with --record."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 1203, 20_000])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--record", type=Path, default=None, help="CSV file to append to")
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    for size in arguments.sizes:
        with ProcessPoolExecutor(1, mp_context=spawn) as processes:
            row = processes.submit(measure, arguments.model, size).result()
        print(*(f"{name} {value}" for name, value in row.items() if value != ""), sep="  ")
        if arguments.record is not None:
            append_row(arguments.record, row)


def measure(model: str, size: int) -> dict[str, object]:
    """One row of CPU seconds, which other processes lengthen less than wall time."""
    source = find_model(model, weights=None)
    engine = Engine(source.load(offline=True, seed=42), place("cpu", "fp32", 1))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "words.txt"
        path.write_text("\n".join(category_names(size)) + "\n", encoding="utf-8")
        vocabulary, _ = load_vocabulary([str(path)])
        embedding_s = []
        for _ in range(2):
            started = time.process_time()
            words = engine.embed_vocabulary(
                vocabulary, cache=TextEmbeddingCache(Path(scratch) / "text"), encoder="bench"
            )
            embedding_s.append(time.process_time() - started)
    options = SegmentOptions(has_semantic=True, has_instances=True)
    cpu: dict[str, float] = {}
    for number, scene in enumerate(SCENES):
        image = decode_image(
            ImageRecord(
                path=Path(__file__).parents[1] / "samples" / f"{scene}.jpg",
                name=scene,
                stem=scene,
                image_id=number,
            ),
            short_side=source.config.short_side,
            long_side=source.config.long_side,
        )
        started = time.process_time()
        (result,) = engine.segment_batch([image], words, options)
        # The first image pays for what is made once.
        cpu = {"image": time.process_time() - started, **result.stage_ms}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": git_commit(),
        "technique": f"vocabulary of {size:,} categories".replace(",", " "),
        "model": model,
        "size": "640x480",
        "outputs": "panoptic+instances+semantic",
        "device": "cpu",
        "images": 1,
        "classify_s": round(cpu["classify"] / 1e3, 4),
        "postprocess_s": round(cpu["postprocess"] / 1e3, 4),
        "peak_rss_mib": peak_rss_mib(),
        "accuracy": f"words: {embedding_s[0]:.2f} CPU s, from the cache {embedding_s[1]:.3f}",
        "cpu_s": round(cpu["image"], 3),
    }


def category_names(count: int) -> list[str]:
    """So many different names."""
    path = Path(__file__).parents[1] / "vocabularies" / "lvis1203.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [line.split(",")[0].split("|")[0].strip() for line in lines if line[:1] not in "#"]
    plain = [name for name in names if name]
    with_adjectives = [f"{adjective} {name}" for adjective in ADJECTIVES for name in plain]
    return list(dict.fromkeys([*plain, *with_adjectives]))[:count]


if __name__ == "__main__":
    main()
