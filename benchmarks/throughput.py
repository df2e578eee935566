"""Seconds by stage, images/s and peak memory of `odise segment`, as a row of results.csv.

    python benchmarks/throughput.py --model tiny --size 1024 --images 8
    python benchmarks/throughput.py --model full --size 1024 --images 1 --calibrate

`full` is the published architecture (Stable Diffusion v1 + ViT-L/14-336) with random weights,
written once as a model folder: speed does not depend on values. The images are drawn, square and
of the given size; the whole command runs, decoding and writing included.
"""

import argparse
import csv
import dataclasses
import datetime
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# As the command line does, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image

from odise_cli.commands.segment import run_segment
from odise_cli.config import SegmentConfig
from odise_cli.engine import Engine
from odise_cli.host_memory import keep_freed_memory
from odise_cli.hub import cache_folder
from odise_cli.model.checkpoint import save_model_folder
from odise_cli.model.config import PUBLISHED_LABEL
from odise_cli.model.frozen_weights import build_clip, unet_config, vae_config
from odise_cli.model.odise import Odise
from odise_cli.placement import place
from odise_cli.reports.segmentation import SegmentReport

REFERENCE_S, REFERENCE_UNET_S = 113.8, 5.4
"""The reference's seconds for one 1024×1024 image and for one UNet pass, both on two cores."""
STAGES = ("decode", "features", "masks", "classify", "postprocess", "write")
CLIP_NAME = "ViT-L-14-336-quickgelu"


def main() -> None:
    """Run once and print; append a row with --record."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="tiny, full, or a model folder")
    parser.add_argument("--size", type=int, default=1024, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--vocab", default="ade150")
    parser.add_argument("--write", default="panoptic", help="outputs, comma-separated")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--calibrate", action="store_true", help="time a full UNet pass too")
    parser.add_argument("--technique", default="baseline", help="name of the row")
    parser.add_argument("--accuracy", default="parity tests pass", help="what is known of it")
    parser.add_argument("--record", type=Path, default=None, help="CSV file to append to")
    arguments = parser.parse_args()

    passes = [in_own_process(time_unet_pass)] if arguments.calibrate else []
    note_end_of_loading()
    model = str(write_full_model()) if arguments.model == "full" else arguments.model
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw_images(folder / "images", arguments.images, arguments.size)
        config = SegmentConfig(
            sources=(str(folder / "images"),),
            vocab=(arguments.vocab,),
            out=folder / "preds",
            write=tuple(arguments.write.split(",")),
            model=model,
            device=arguments.device,
            precision=arguments.precision,
            batch_size=arguments.batch_size,
        )
        report = run_segment(
            config,
            on_notice=lambda message: print(message, file=sys.stderr),
            on_progress=lambda *_: None,
            should_stop=lambda: False,
        )
    cpu_s = (time.process_time() - loaded_cpu_s[0]) / report.num_done
    peak_mib = peak_rss_mib()
    passes += [in_own_process(time_unet_pass)] if arguments.calibrate else []
    row = make_row(arguments, report, cpu_s, peak_mib, passes)
    for name, value in row.items():
        print(f"{name:>22}  {value}")
    if arguments.record is not None:
        append_row(arguments.record, row)


def make_row(
    arguments: argparse.Namespace,
    report: SegmentReport,
    cpu_s: float,
    peak_mib: int,
    unet_passes: list[tuple[float, float]],
) -> dict[str, object]:
    """One row: what ran, on what, how fast."""
    ratio: float | str = ""
    if unet_passes:
        # CPU seconds, because other processes lengthen wall times, and not evenly.
        scale = np.mean([cpu for _, cpu in unet_passes]) / REFERENCE_UNET_S
        ratio = round(float(cpu_s / (REFERENCE_S * scale)), 3)
    placement = place(arguments.device, arguments.precision, arguments.batch_size)
    seconds = {
        f"{stage}_s": round(report.stage_ms.get(stage, 0.0) / 1e3 / report.num_done, 3)
        for stage in STAGES
    }
    is_cuda = placement.device.type == "cuda"
    name = torch.cuda.get_device_name(placement.device) if is_cuda else platform.processor()
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": git_commit(),
        "technique": arguments.technique,
        "model": arguments.model,
        "size": f"{arguments.size}x{arguments.size}",
        "outputs": arguments.write,
        "torch": torch.__version__,
        "device": f"{placement.device.type} {name or platform.machine()}",
        "threads": torch.get_num_threads(),
        "precision": placement.precision_name,
        "batch": placement.batch_size,
        "images": report.num_done,
        **seconds,
        "total_s": round(report.seconds / report.num_done, 3),
        "images_per_s": round(report.images_per_second, 4),
        "peak_rss_mib": peak_mib,
        "peak_cuda_mib": torch.cuda.max_memory_allocated() // 2**20 if is_cuda else "",
        # Before and after, wall/CPU: the machine's speed drifts.
        "unet_pass_s": " ".join(f"{wall:.2f}/{cpu:.2f}" for wall, cpu in unet_passes),
        "accuracy": arguments.accuracy,
        "cpu_s": round(cpu_s, 2),
        "of_reference": ratio,
    }


def peak_rss_mib() -> int:
    """This process's own peak; getrusage would begin at that of the process that started it."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


def write_full_model() -> Path:
    """A model folder of the published architecture with random weights; written once."""
    folder = cache_folder() / "bench" / "full-random"
    if (folder / "odise.json").is_file():
        return folder
    # Not before odise_cli.model, which repairs a torchvision that does not fit the torch.
    import open_clip
    from diffusers import AutoencoderKL, UNet2DConditionModel

    clip_config = open_clip.get_model_config(CLIP_NAME)
    config = dataclasses.replace(PUBLISHED_LABEL, is_trained=False, notice="Random weights.")
    model = Odise(
        config,
        unet=UNet2DConditionModel(**unet_config(320, 768)),
        vae=AutoencoderKL(**vae_config(128)),
        clip=build_clip(clip_config, CLIP_NAME, None),
    )
    save_model_folder(model, clip_config, folder)
    return folder


@torch.inference_mode()
def time_unet_pass() -> tuple[float, float]:
    """Wall and CPU seconds of a pass of the full-size UNet at 64×64, batch 1, run by diffusers.

    The yardstick for machines whose speed drifts: the reference took 5.4 s for it.
    """
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**unet_config(320, 768))
    unet = unet.to_empty(device="cpu").eval()
    for parameter in unet.parameters():
        parameter.data.fill_(0.01)
    inputs = (torch.randn(1, 4, 64, 64), 0, torch.randn(1, 77, 768))
    unet(*inputs)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    unet(*inputs)
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def in_own_process(measure: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """What a measurement finds without adding to this process's memory."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        return processes.submit(measure).result()


loaded_cpu_s: list[float] = []
"""The process's CPU seconds when its model was loaded and its words embedded."""


def note_end_of_loading() -> None:
    """Fill `loaded_cpu_s` when the engine is given its first batch."""
    segment = Engine.segment

    def noted(*args: object, **options: object) -> object:
        loaded_cpu_s.append(time.process_time())
        return segment(*args, **options)

    Engine.segment = noted


def draw_images(folder: Path, count: int, size: int) -> None:
    """JPEG files of smooth noise, different from each other."""
    folder.mkdir()
    for i in range(count):
        small = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        image = Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)
        image.save(folder / f"{i:05d}.jpg", quality=90)


def git_commit() -> str:
    """The commit that ran, with a plus sign if files differ from it."""
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip() or "unknown"


def append_row(path: Path, row: dict[str, object]) -> None:
    """Append to a CSV file in the order of its header, or begin one."""
    columns = list(row)
    if path.exists():
        with path.open(newline="") as file:
            columns = next(csv.reader(file))
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
