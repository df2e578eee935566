"""A run killed at every call that changes the disk: `python -m tests.writers.crash_points DIR`.

Each child process does the run of `fakes.write_run` and kills itself at its n-th such call,
before it, halfway through it or after it; then the run is taken up and has to end with the
files of an uninterrupted one. A process of its own, because it forks.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.writers.fakes import files_of, write_run

NUMBERS, FAILING = range(2), (1,)


class Countdown:
    """Kills this process at the n-th step."""

    def __init__(self, num_steps: int) -> None:
        self.num_left = num_steps

    def step(self) -> None:
        self.num_left -= 1
        if self.num_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.step()
            answer = call(*args, **options)
            self.step()
            return answer

        return counted

    def halfway(self, pwrite: Callable[[int, bytes, int], int]) -> Callable[..., int]:
        """A write that reaches the disk in two parts."""

        def counted(descriptor: int, data: bytes, offset: int) -> int:
            self.step()
            half = len(data) // 2
            pwrite(descriptor, data[:half], offset)
            self.step()
            return half + pwrite(descriptor, data[half:], offset + half)

        return counted


def run_and_be_killed(out: Path, num_steps: int) -> None:
    countdown = Countdown(num_steps)
    os.pwrite = countdown.halfway(os.pwrite)  # type: ignore[assignment]
    os.fsync = countdown.around(os.fsync)
    Path.replace = countdown.around(Path.replace)  # type: ignore[method-assign]
    Path.unlink = countdown.around(Path.unlink)  # type: ignore[method-assign]
    write_run(out, NUMBERS, failing=FAILING)


def main(folder: Path) -> int:
    """The number of points at which the run was killed and taken up."""
    # What a process wrote outlives its SIGKILL without being flushed; only a power cut differs.
    os.fsync = lambda _: None
    write_run(folder / "expected", NUMBERS, failing=FAILING)
    expected = files_of(folder / "expected")
    num_steps = 0
    while True:
        num_steps += 1
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        child = os.fork()
        if child == 0:
            run_and_be_killed(out, num_steps)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return num_steps - 1
        write_run(out, NUMBERS, failing=FAILING)
        files = files_of(out)
        different = [name for name in {*files, *expected} if files.get(name) != expected.get(name)]
        assert not different, (num_steps, different)


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]))}\n")
