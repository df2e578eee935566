"""Everything to be known of a GPU in one run: rates, precisions, memory, the device's busy share.

    python benchmarks/gpu.py --model full --record benchmarks/results.csv
    python benchmarks/gpu.py --device cpu --model tiny --size 256 --images 4 --parts folder training

`full` is the published architecture with random weights. Without a GPU the same runs on the CPU,
at whatever size is asked for; rows say which device they are of. The most important comes first;
after --minutes no further row is begun, and those left out say so. Nothing here is a test.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

# As the command line does, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from device_bench import Bench, BusyMeter
from throughput import draw_images, write_full_model
from torch.utils.flop_counter import FlopCounterMode

from odise_cli.commands.model_source import find_model
from odise_cli.commands.segment import run_segment
from odise_cli.config import SegmentConfig
from odise_cli.engine import EmbeddedVocabulary, Engine
from odise_cli.export.parity import compare
from odise_cli.model.compiled import Mode, compile_diffusion
from odise_cli.model.odise import MaskPredictions
from odise_cli.placement import place
from odise_cli.training.criterion import Criterion
from odise_cli.training.feature_cache import cache_features
from odise_cli.training.objective import TrainingObjective
from odise_cli.training.targets import MaskTargets, TrainingBatch
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.loader import load_vocabulary

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PARTS = ("network", "folder", "memory", "training", "variants")
COMPUTE = ("features", "masks", "classify", "postprocess")
PUBLISHED_IMAGES_PER_S = 1.26
"""Of the paper's own code at 1024×1024 on a V100."""
MEMORY_LIMIT = 8 * 2**30
FOLDER_SECONDS = 90
NUM_DRAWN = 16
NUM_MASKS = 4


class Run:
    """What all parts share: the bench, the model's folder, a picture and what fp32 says of it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.bench = Bench(
            device=place(arguments.device, "fp32", 1).device,
            label=arguments.model,
            size=arguments.size,
            repeats=arguments.repeats,
            record=arguments.record,
            deadline=time.monotonic() + 60 * arguments.minutes,
        )
        self.precision, self.batch = arguments.precisions[0], arguments.batches[-1]
        self.model = str(write_full_model()) if arguments.model == "full" else arguments.model
        generator = np.random.default_rng(0)
        size = (arguments.size, arguments.size, 3)
        self.pixels = generator.integers(0, 256, size, np.uint8)
        self.exact: list[MaskPredictions] | None = None
        self.bound: dict[str, float] = {}
        self.best = 0.0

    def engine(
        self, precision: str, *, max_memory: int | None = None, is_learning: bool = False
    ) -> tuple[Engine, EmbeddedVocabulary]:
        """A model on the device, and its words."""
        source = find_model(self.model, weights=None)
        placement = place(str(self.bench.device), precision, 1, max_memory_bytes=max_memory)
        network = source.load(offline=True, seed=42)
        engine = Engine(network, placement, is_learning=is_learning)
        vocabulary, _ = load_vocabulary(["ade150"])
        with tempfile.TemporaryDirectory() as folder:
            cache = TextEmbeddingCache(Path(folder))
            words = engine.embed_vocabulary(vocabulary, cache=cache, encoder="bench")
        return engine, words

    def speed(
        self, technique: str, engine: Engine, words: EmbeddedVocabulary, precision: str, batch: int
    ) -> float:
        """Images/s of the network, and what its answer is worth."""
        answers: list[MaskPredictions] = []

        def predict() -> None:
            answers[:] = engine.predict(batch * [self.pixels], words)

        def remark(images_per_s: float) -> str:
            words = [
                f"{images_per_s / PUBLISHED_IMAGES_PER_S:.2f} of the published speed",
                f"first call {self.bench.first_s:.1f} s",
            ]
            if precision in self.bound:
                words.append(f"{images_per_s / self.bound[precision]:.2f} of the bound")
            if self.exact is not None:
                parity = compare(self.exact, answers[:1])
                words.append(
                    f"to fp32: mask IoU {parity.mask_iou:.4f}, label agreement "
                    f"{parity.label_agreement:.2f}, logits {parity.max_logit_difference:.2g} apart"
                )
            answers.clear()
            return "; ".join(words)

        return self.bench.speed(technique, predict, precision=precision, batch=batch, remark=remark)


def main() -> None:
    """Measure what the device's time allows, most important first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="full", help="full, tiny or a model folder")
    parser.add_argument("--size", type=int, default=1024, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=500, help="of the folder, at most")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 8])
    parser.add_argument("--training-batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp16", "fp32"])
    parser.add_argument("--matrix", type=int, default=8192, help="side of the rate's matrices")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--record", type=Path, default=None, help="CSV file to append to")
    run = Run(parser.parse_args())
    if not run.bench.is_cuda:
        print("No GPU: these are the CPU's figures.", file=sys.stderr)
    measure = {
        "network": measure_network,
        "folder": run_folder,
        "memory": run_in_little_memory,
        "training": measure_training,
        "variants": vary,
    }
    for part in run.arguments.parts:
        measure[part](run)
        run.bench.release()


def measure_network(run: Run) -> None:
    """Precisions and batches against the bound that counted FLOPs and measured rates give."""
    engine, words = run.engine("fp32")
    with torch.inference_mode():
        run.exact = engine.predict([run.pixels], words)
    flops = count_flops(run, engine, words)
    del engine
    for precision in run.arguments.precisions:
        run.bound[precision] = measure_rate(run, precision) * 1e12 / flops
        run.bench.release()
        engine, words = run.engine(precision)
        speeds = [
            run.speed("plain", engine, words, precision, batch) for batch in run.arguments.batches
        ]
        run.best = max([run.best, *speeds])
        run.bench.row(
            "share of the bound",
            precision=precision,
            accuracy=f"at the matrix rate {run.bound[precision]:.2f} images/s, "
            f"the best {max(speeds):.2f}",
        )
        del engine


def measure_rate(run: Run, precision: str) -> float:
    """TFLOP/s of a square matrix product."""
    side, dtype = run.arguments.matrix, PRECISIONS[precision]
    a = torch.randn(side, side, device=run.bench.device, dtype=dtype)
    rate = 2 * side**3 / run.bench.seconds(lambda: a @ a) / 1e12
    run.bench.row("matrix rate", precision=precision, accuracy=f"{rate:.2f} TFLOP/s, side {side}")
    return rate


def count_flops(run: Run, engine: Engine, words: EmbeddedVocabulary) -> int:
    """FLOPs of one image, as PyTorch counts them."""
    counter = FlopCounterMode(display=False)
    with counter:
        engine.predict([run.pixels], words)
    flops = int(counter.get_total_flops())
    run.bench.row("FLOPs of an image", accuracy=f"{flops / 1e12:.3f} TFLOP")
    return flops


def run_folder(run: Run) -> None:
    """The whole command over a folder: how much of its time the device computes."""
    # As many as fit into the time, where a device is slow.
    count = run.arguments.images
    if run.best:
        count = min(count, 1 + int(FOLDER_SECONDS * run.best))
    meter = BusyMeter(run.bench.device)
    with tempfile.TemporaryDirectory() as scratch, run.bench.memory() as memory:
        folder = Path(scratch)
        draw_images(folder / "images", min(count, NUM_DRAWN), run.bench.size)
        drawn = sorted((folder / "images").iterdir())
        for number in range(len(drawn), count):
            shutil.copy(drawn[number % len(drawn)], folder / "images" / f"{number:05d}.jpg")
        config = SegmentConfig(
            sources=(str(folder / "images"),),
            vocab=("ade150",),
            out=folder / "preds",
            model=run.model,
            device=str(run.bench.device),
            precision=run.precision,
            batch_size=run.batch,
        )
        report = run_segment(
            config,
            on_notice=lambda _: None,
            # Not while the model is loaded: from the first result on.
            on_progress=lambda *_: meter.start(),
            should_stop=lambda: False,
        )
    busy, stages = meter.stop(), report.stage_ms
    share = sum(stages[stage] for stage in COMPUTE) / 1e3 / report.seconds
    run.bench.row(
        "odise segment over a folder",
        precision=run.precision,
        batch=run.batch,
        images=report.num_done,
        **{f"{name}_s": round(ms / 1e3 / report.num_done, 4) for name, ms in stages.items()},
        total_s=round(report.seconds / report.num_done, 4),
        images_per_s=round(report.images_per_second, 3),
        **memory,
        accuracy=f"device busy {busy}; its stages take {share:.1%} of the wall time",
    )


def run_in_little_memory(run: Run) -> None:
    """Batch 1 with --max-memory 8G; on a CPU there is no such limit."""
    technique, precision = "--max-memory 8G", run.precision
    if not run.bench.is_cuda:
        run.bench.row(technique, precision=precision, accuracy="limits GPUs only: not measured")
        return
    try:
        engine, words = run.engine(precision, max_memory=MEMORY_LIMIT)
        run.speed(technique, engine, words, precision, 1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, run.bench.device)


def measure_training(run: Run) -> None:
    """Steps of the head: activations kept or computed again, features cached or not."""
    engine, words = run.engine(run.precision, is_learning=True)
    model = engine.model
    crops_per_pass = model.crops_per_pass
    for recomputes in (False, True):
        # As `checkpoint_activations` of a recipe has it.
        model.crops_per_pass = 1 if recomputes else crops_per_pass
        word = "recomputed" if recomputes else "kept"
        for batch in run.arguments.training_batches:
            measure_steps(run, engine, words, f"activations {word}", batch, recomputes=recomputes)
    model.crops_per_pass = crops_per_pass
    with tempfile.TemporaryDirectory() as folder:
        cache_features(model.diffusion, Path(folder))
        for batch in run.arguments.training_batches:
            measure_steps(run, engine, words, "features cached", batch, is_cached=True)


def measure_steps(
    run: Run,
    engine: Engine,
    words: EmbeddedVocabulary,
    technique: str,
    batch_size: int,
    *,
    recomputes: bool = False,
    is_cached: bool = False,
) -> None:
    """Seconds of an optimiser's step on a canvas and a few masks."""
    size, device = run.bench.size, run.bench.device
    objective = TrainingObjective(
        engine.model, Criterion(), text=words.text, recomputes_diffusion=recomputes
    )
    # What is cached must not depend on what learns.
    engine.model.captioner.requires_grad_(not is_cached)
    canvas_3HW = torch.from_numpy(run.pixels).permute(2, 0, 1).float() / 255
    masks_NHW = torch.zeros(NUM_MASKS, size, size, dtype=torch.bool)
    for number, rows in enumerate(torch.arange(size).chunk(NUM_MASKS)):
        masks_NHW[number, rows] = True
    target = MaskTargets(masks_NHW=masks_NHW, category_N=torch.arange(NUM_MASKS), words=None)
    batch = TrainingBatch(
        canvases_B3HW=canvas_3HW.expand(batch_size, -1, -1, -1), targets=batch_size * [target]
    ).to(device)
    optimizer = torch.optim.AdamW(list(objective.trainable_parameters()), lr=1e-4)
    dtype = PRECISIONS[run.precision]

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            loss = objective(batch).total
        loss.backward()
        optimizer.step()

    run.bench.speed(f"training step, {technique}", step, precision=run.precision, batch=batch_size)


def vary(run: Run) -> None:
    """The first precision in other layouts, compiled, and with CUDA graphs."""
    engine, words = run.engine(run.precision)
    diffusion = engine.model.diffusion
    layouts = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
    for name, layout in layouts.items():
        diffusion.to(memory_format=layout)
        run.speed(f"{name} weights", engine, words, run.precision, run.batch)
    if not run.arguments.compile:
        return
    modes: dict[str, Mode] = {"torch.compile": "default"}
    if run.bench.is_cuda:
        modes["CUDA graphs"] = "reduce-overhead"
    plain = {name: getattr(diffusion, name) for name in ("encode", "decode", "denoise")}
    for technique, mode in modes.items():
        for name, method in plain.items():
            setattr(diffusion, name, method)
        torch.compiler.reset()
        compile_diffusion(diffusion, mode=mode)
        # Graphs help where the host is slower than the device: with few images.
        for batch in (run.batch, 1):
            run.speed(technique, engine, words, run.precision, batch)


if __name__ == "__main__":
    main()
