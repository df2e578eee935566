"""Everything to be known of a GPU in one run: rates, precisions, memory, the device's busy share.

    python benchmarks/gpu.py --model full --record benchmarks/results.csv
    python benchmarks/gpu.py --device cpu --model tiny --size 256 --images 4

`full` is the published architecture with random weights. Without a GPU the same runs on the CPU,
at whatever size is asked for; rows say which device they are of. Nothing here is a test.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# As the command line does, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from throughput import append_row, draw_images, git_commit, peak_rss_mib, write_full_model
from torch.utils.flop_counter import FlopCounterMode

from odise_cli.commands.model_source import find_model
from odise_cli.commands.segment import run_segment
from odise_cli.config import SegmentConfig
from odise_cli.engine import EmbeddedVocabulary, Engine
from odise_cli.placement import place
from odise_cli.training.criterion import Criterion
from odise_cli.training.feature_cache import cache_features
from odise_cli.training.objective import TrainingObjective
from odise_cli.training.targets import MaskTargets, TrainingBatch
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.loader import load_vocabulary

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
COMPUTE = ("features", "masks", "classify", "postprocess")
DIFFUSION = ("encode", "decode", "denoise")
MEMORY_LIMIT = 8 * 2**30
NUM_MASKS = 4


class Bench:
    """One device, one model, rows as they come."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.size, self.repeats = arguments.size, arguments.repeats
        self.device = place(arguments.device, "fp32", 1).device
        self.is_cuda = self.device.type == "cuda"
        self.name = torch.cuda.get_device_name(self.device) if self.is_cuda else "cpu"
        self.model = str(write_full_model()) if arguments.model == "full" else arguments.model
        self.label, self.record = arguments.model, arguments.record
        generator = np.random.default_rng(0)
        self.pixels = generator.integers(0, 256, (self.size, self.size, 3), np.uint8)

    def row(self, technique: str, **values: object) -> None:
        """Print a row, and append it where that is asked for."""
        print(f"{technique}: {', '.join(f'{name} {value}' for name, value in values.items())}")
        if self.record is not None:
            row = {
                "date": time.strftime("%Y-%m-%d"),
                "commit": git_commit(),
                "technique": technique,
                "model": self.label,
                "size": f"{self.size}x{self.size}",
                "torch": torch.__version__,
                "device": self.name,
                **values,
            }
            append_row(self.record, row)

    def seconds(self, run: Callable[[], object]) -> float:
        """Seconds of one call, after one that is not counted; the device has finished."""
        run()
        self.wait()
        started = time.perf_counter()
        for _ in range(self.repeats):
            run()
        self.wait()
        return (time.perf_counter() - started) / self.repeats

    def wait(self) -> None:
        """Until the device has nothing to do."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def engine(
        self, precision: str, max_memory: int | None = None
    ) -> tuple[Engine, EmbeddedVocabulary]:
        """A model on the device, and its words."""
        source = find_model(self.model, weights=None)
        placement = place(str(self.device), precision, 1, max_memory_bytes=max_memory)
        engine = Engine(source.load(offline=True, seed=42), placement)
        vocabulary, _ = load_vocabulary(["ade150"])
        with tempfile.TemporaryDirectory() as folder:
            cache = TextEmbeddingCache(Path(folder))
            words = engine.embed_vocabulary(vocabulary, cache=cache, encoder="bench")
        return engine, words

    @contextmanager
    def memory(self) -> Iterator[dict[str, int]]:
        """Peak of the device's memory in a block, MiB; of the process's where there is no GPU."""
        found: dict[str, int] = {}
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        yield found
        if self.is_cuda:
            found["peak_cuda_mib"] = torch.cuda.max_memory_allocated(self.device) // 2**20
        else:
            found["peak_rss_mib"] = peak_rss_mib()

    def speed(
        self, technique: str, precision: str, batch: int, predict: Callable[[int], object]
    ) -> float:
        """Images/s of one way to compute; out of memory is a result, too."""
        try:
            with self.memory() as memory:
                seconds = self.seconds(lambda: predict(batch)) / batch
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            self.row(technique, precision=precision, batch=batch, accuracy="out of memory")
            return 0.0
        values = {"total_s": round(seconds, 5), "images_per_s": round(1 / seconds, 3), **memory}
        self.row(technique, precision=precision, batch=batch, images=batch, **values)
        return 1 / seconds


def main() -> None:
    """Measure what the device's time allows, most important first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="full", help="full, tiny or a model folder")
    parser.add_argument("--size", type=int, default=1024, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=500, help="of the folder")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp16", "fp32"])
    parser.add_argument("--matrix", type=int, default=8192, help="side of the rate's matrices")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--record", type=Path, default=None, help="CSV file to append to")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    if not bench.is_cuda:
        print("No GPU: these are the CPU's figures.", file=sys.stderr)
    measure_network(bench, arguments)
    run_folder(bench, arguments)
    for is_cached in (False, True):
        measure_training(bench, arguments.precisions[0], is_cached=is_cached)
    # The last, for the limit holds until the process ends.
    run_in_little_memory(bench, arguments.precisions[0])


def measure_network(bench: Bench, arguments: argparse.Namespace) -> None:
    """Precisions and batches against the bound, then layouts and compilers."""
    rates = {name: measure_rate(bench, name, arguments.matrix) for name in arguments.precisions}
    engine, words = bench.engine(arguments.precisions[-1])
    flops = count_flops(bench, engine, words)

    def predict(count: int) -> object:
        return engine.predict(count * [bench.pixels], words)

    # The first precision last: its engine is the one that is varied.
    for precision in reversed(arguments.precisions):
        engine, words = bench.engine(precision)
        best = max(bench.speed("plain", precision, batch, predict) for batch in arguments.batches)
        bound = rates[precision] * 1e12 / flops
        bench.row(
            "share of the bound",
            precision=precision,
            accuracy=f"at the matrix rate {bound:.2f} images/s, the best {best:.2f}",
        )
    vary(bench, engine, predict, arguments)


def measure_rate(bench: Bench, precision: str, side: int) -> float:
    """TFLOP/s of a square matrix product."""
    a = torch.randn(side, side, device=bench.device, dtype=PRECISIONS[precision])
    rate = 2 * side**3 / bench.seconds(lambda: a @ a) / 1e12
    bench.row("matrix rate", precision=precision, accuracy=f"{rate:.2f} TFLOP/s, side {side}")
    return rate


def count_flops(bench: Bench, engine: Engine, words: EmbeddedVocabulary) -> int:
    """FLOPs of one image, as PyTorch counts them."""
    counter = FlopCounterMode(display=False)
    with counter:
        engine.predict([bench.pixels], words)
    flops = int(counter.get_total_flops())
    bench.row("FLOPs of an image", accuracy=f"{flops / 1e12:.3f} TFLOP")
    return flops


def vary(
    bench: Bench,
    engine: Engine,
    predict: Callable[[int], object],
    arguments: argparse.Namespace,
) -> None:
    """The first precision in other layouts, compiled, and with CUDA graphs."""
    precision, batch = arguments.precisions[0], arguments.batches[-1]
    diffusion = engine.model.diffusion
    layouts = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
    for name, layout in layouts.items():
        diffusion.to(memory_format=layout)
        bench.speed(f"{name} weights", precision, batch, predict)
    if not arguments.compile:
        return
    plain = {name: getattr(diffusion, name) for name in DIFFUSION}
    modes = {"torch.compile": "default", "CUDA graphs": "reduce-overhead"}
    for technique, mode in list(modes.items())[: 2 if bench.is_cuda else 1]:
        for name, method in plain.items():
            setattr(diffusion, name, torch.compile(method, mode=mode, dynamic=False))
        bench.speed(technique, precision, batch, predict)
        torch.compiler.reset()
    for name, method in plain.items():
        setattr(diffusion, name, method)


def run_folder(bench: Bench, arguments: argparse.Namespace) -> None:
    """The whole command over a folder: how much of its time the device computes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw_images(folder / "images", arguments.images, bench.size)
        config = SegmentConfig(
            sources=(str(folder / "images"),),
            vocab=("ade150",),
            out=folder / "preds",
            model=bench.model,
            device=str(bench.device),
            precision=arguments.precisions[0],
            batch_size=arguments.batches[-1],
        )
        with bench.memory() as memory:
            report = run_segment(
                config,
                on_notice=lambda _: None,
                on_progress=lambda *_: None,
                should_stop=lambda: False,
            )
    stages = report.stage_ms
    busy = sum(stages[stage] for stage in COMPUTE) / 1e3 / report.seconds
    bench.row(
        "odise segment over a folder",
        precision=arguments.precisions[0],
        batch=arguments.batches[-1],
        images=report.num_done,
        **{f"{name}_s": round(ms / 1e3 / report.num_done, 4) for name, ms in stages.items()},
        total_s=round(report.seconds / report.num_done, 4),
        images_per_s=round(report.images_per_second, 3),
        **memory,
        accuracy=f"device busy {busy:.1%}",
    )


def run_in_little_memory(bench: Bench, precision: str) -> None:
    """Batch 1 with --max-memory 8G; on a CPU there is no such limit."""
    if not bench.is_cuda:
        bench.row("--max-memory 8G", precision=precision, accuracy="limits GPUs only: not measured")
        return
    torch.cuda.empty_cache()
    engine, words = bench.engine(precision, MEMORY_LIMIT)
    bench.speed(
        "--max-memory 8G", precision, 1, lambda n: engine.predict(n * [bench.pixels], words)
    )


def measure_training(bench: Bench, precision: str, *, is_cached: bool) -> None:
    """Steps of the head on one canvas; the cache holds its features after the first."""
    engine, words = bench.engine(precision)
    model = engine.model
    model.crops_per_pass = 1
    objective = TrainingObjective(
        model,
        Criterion(),
        text=words.text,
        recomputes_diffusion=True,
    )
    canvas_3HW = torch.from_numpy(bench.pixels).permute(2, 0, 1).float() / 255
    masks_NHW = torch.zeros(NUM_MASKS, bench.size, bench.size, dtype=torch.bool)
    for number, rows in enumerate(torch.arange(bench.size).chunk(NUM_MASKS)):
        masks_NHW[number, rows] = True
    target = MaskTargets(masks_NHW=masks_NHW, category_N=torch.arange(NUM_MASKS), words=None)
    batch = TrainingBatch(canvases_B3HW=canvas_3HW[None], targets=[target]).to(bench.device)
    with tempfile.TemporaryDirectory() as folder:
        if is_cached:
            model.captioner.requires_grad_(False)
            cache_features(model.diffusion, Path(folder))
        optimizer = torch.optim.AdamW(list(objective.trainable_parameters()), lr=1e-4)

        def step(_: int) -> None:
            optimizer.zero_grad()
            with torch.autocast(
                bench.device.type, dtype=PRECISIONS[precision], enabled=precision != "fp32"
            ):
                loss = objective(batch).total
            loss.backward()
            optimizer.step()

        name = "with" if is_cached else "without"
        bench.speed(f"training step {name} cached features", precision, 1, step)


if __name__ == "__main__":
    main()
