"""What `gpu.py` measures with: seconds, memory, the device's busy share, rows within a time.

Knows nothing of what is measured.
"""

import gc
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from throughput import append_row, git_commit, peak_rss_mib

from odise_cli.host_memory import give_back_memory

MOST_SECONDS_PER_ROW = 4.0
SAMPLE_MS = 200


@dataclass(kw_only=True)
class Bench:
    """One device and one model; rows as they come, until the time is up."""

    device: torch.device
    label: str
    size: int
    repeats: int
    record: Path | None
    deadline: float
    """Of `time.monotonic`; no row is begun after it."""
    name: str = field(init=False)
    first_s: float = 0.0
    """Of the last row: what its first call took, compiling included."""
    cpu_s: float = 0.0
    """Of the last row: CPU seconds of a call, which say more where others use the processor."""

    def __post_init__(self) -> None:
        self.is_cuda = self.device.type == "cuda"
        self.name = torch.cuda.get_device_name(self.device) if self.is_cuda else "cpu"

    def row(self, technique: str, **values: object) -> None:
        """Print a row, and append it where that is asked for."""
        shown = ", ".join(f"{name} {value}" for name, value in values.items())
        print(f"{technique}: {shown}", flush=True)
        if self.record is not None:
            row = {
                "date": time.strftime("%Y-%m-%d"),
                "commit": git_commit(),
                "technique": technique,
                "model": self.label,
                "size": f"{self.size}x{self.size}",
                "torch": torch.__version__,
                "device": self.name,
                "threads": torch.get_num_threads(),
                **values,
            }
            append_row(self.record, row)

    def speed(
        self,
        technique: str,
        run: Callable[[], object],
        *,
        precision: str,
        batch: int,
        remark: Callable[[float], str] = lambda _: "",
    ) -> float:
        """Images/s of one way to compute; that it does not run is a result, too.

        Args:
            technique: name of the row.
            run: computes one batch.
            precision: of the row.
            batch: its images.
            remark: what else to say of so many images/s.
        """
        known = {"precision": precision, "batch": batch}
        if time.monotonic() > self.deadline:
            self.row(technique, **known, accuracy="not measured: the time was up")
            return 0.0
        try:
            with self.memory() as memory:
                seconds = self.seconds(run) / batch
        except torch.OutOfMemoryError:
            self.row(technique, **known, accuracy="out of memory")
            return 0.0
        except Exception as error:  # a compiler has many; the other rows are wanted all the same
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self.row(technique, **known, accuracy=f"failed: {reason[:200]}")
            return 0.0
        finally:
            self.release()
        values = {"total_s": round(seconds, 5), "images_per_s": round(1 / seconds, 3), **memory}
        values |= {"cpu_s": round(self.cpu_s / batch, 3)}
        self.row(technique, **known, images=batch, **values, accuracy=remark(1 / seconds))
        return 1 / seconds

    def seconds(self, run: Callable[[], object]) -> float:
        """Seconds of one call, after one that is not counted; the device has finished."""
        started = time.perf_counter()
        run()
        self.wait()
        self.first_s = time.perf_counter() - started
        count, started, cpu_started = 0, time.perf_counter(), time.process_time()
        while count < self.repeats and time.perf_counter() - started < MOST_SECONDS_PER_ROW:
            run()
            self.wait()
            count += 1
        self.cpu_s = (time.process_time() - cpu_started) / count
        return (time.perf_counter() - started) / count

    def wait(self) -> None:
        """Until the device has nothing to do."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def release(self) -> None:
        """Give the device's free memory back, so that the next row finds all of it."""
        gc.collect()
        give_back_memory()
        if self.is_cuda:
            torch.cuda.empty_cache()

    @contextmanager
    def memory(self) -> Iterator[dict[str, int]]:
        """Peak of the device's memory in a block, MiB; of the process's where there is no GPU."""
        found: dict[str, int] = {}
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            # The peak begins anew; Linux, as all that follows from /proc.
            Path("/proc/self/clear_refs").write_text("5")
        yield found
        if self.is_cuda:
            found["peak_cuda_mib"] = torch.cuda.max_memory_allocated(self.device) // 2**20
        else:
            found["peak_rss_mib"] = peak_rss_mib()


class BusyMeter:
    """The share of the time in which a GPU ran any kernel, as its driver counts it.

    Source: `nvidia-smi --help-query-gpu`, utilization.gpu: "percent of time over the past sample
    period during which one or more kernels was executing on the GPU".
    """

    def __init__(self, device: torch.device) -> None:
        self._samples: subprocess.Popen[str] | None = None
        self._device = device

    def start(self) -> None:
        """Begin to sample; nothing happens where there is no such GPU or tool."""
        if self._device.type != "cuda" or self._samples or shutil.which("nvidia-smi") is None:
            return
        uuid = torch.cuda.get_device_properties(self._device).uuid
        query = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
        self._samples = subprocess.Popen(
            ["nvidia-smi", f"--id=GPU-{uuid}", *query, f"--loop-ms={SAMPLE_MS}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def stop(self) -> str:
        """The mean of the samples in words; why there is none, otherwise."""
        if self._samples is None:
            return "not sampled: no GPU, or no nvidia-smi"
        self._samples.terminate()
        return describe_samples(self._samples.communicate()[0])


def describe_samples(output: str) -> str:
    """The mean of what nvidia-smi printed, a percentage a line."""
    percentages = [int(line) for line in output.split() if line.isdigit()]
    if not percentages:
        return f"not sampled: nvidia-smi said {output[:60]!r}"
    mean = sum(percentages) / len(percentages)
    return f"{mean:.1f} % ({len(percentages)} samples of nvidia-smi)"
