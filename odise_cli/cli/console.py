"""The one place that prints: stdout is data, stderr is talk.

Says what it is given, on a terminal, a pipe or as JSON, and keeps other packages quiet. Knows
no command and no report; the wording of results is in `summaries.py`.
"""

import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TextIO

import typer

if TYPE_CHECKING:
    from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0
"""How often a run that nobody watches says how far it is."""
BROKEN_PIPE_EXIT_CODE = 141
"""128 + SIGPIPE: what a shell reports for `cat` when `head` has read enough."""
_STDERR = 2

OnImages = Callable[[int, int, int], None]
"""Called with (images done, images failed, images in all); the first two add up."""
OnSteps = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""
OnBytes = Callable[[str, int, int | None], None]
"""Called with (a file's name, its bytes that are here, its bytes in all if known)."""


class Console:
    """What `odise` says, and how loudly; other packages are hushed while the block lasts."""

    def __init__(self) -> None:
        self.is_quiet = False
        self.is_json = False
        self._log_format = "text"
        self._bar: _ProgressBar | None = None
        self._libraries = ExitStack()

    def __enter__(self) -> Self:
        self._libraries.enter_context(_hushed_libraries())
        return self

    def __exit__(self, *_: object) -> None:
        self._libraries.close()

    def configure(
        self,
        *,
        is_quiet: bool = False,
        is_verbose: bool = False,
        is_json: bool = False,
        log_format: str = "text",
    ) -> None:
        """Take over what the command line says about talking."""
        self.is_quiet, self.is_json, self._log_format = is_quiet, is_json, log_format
        if is_verbose:
            self._libraries.close()
            self._libraries.enter_context(_relayed_libraries(self._talk))

    def data(self, text: str) -> None:
        """Print a result on stdout, where the next command of a pipe reads it."""
        try:
            print(text, flush=True)
        except BrokenPipeError:
            _discard(sys.stdout)
            raise typer.Exit(BROKEN_PIPE_EXIT_CODE) from None

    def result(self, value: Any, text: str) -> None:
        """Print a command's result: `value` with `--json`, else `text` unless `--quiet`."""
        if self.is_json:
            self.data(json.dumps(value))
        elif not self.is_quiet and text:
            self.data(text)

    def notice(self, message: str) -> None:
        """Say something that is good to know."""
        if not self.is_quiet:
            self._talk("info", message)

    def warning(self, message: str) -> None:
        """Say something that has to be known, `--quiet` or not."""
        self._talk("warning", message)

    def error(self, message: str) -> None:
        """Say why the command did not do what it was asked; with ODISE_DEBUG=1 also where."""
        if os.environ.get("ODISE_DEBUG") == "1":
            message = f"{message}\n{traceback.format_exc()}"
        self._talk("error", message)

    def notice_in_signal_handler(self, message: str) -> None:
        """Say something from a signal handler, where buffered streams may not be touched."""
        if not self.is_quiet:
            start = "\n" if self._bar is not None else ""
            with suppress(BrokenPipeError):
                os.write(_STDERR, f"{start}{self._line('info', message)}\n".encode())

    @contextmanager
    def image_progress(self) -> Iterator[OnImages]:
        """Show how far a run is: a bar on a terminal, a line now and then on a pipe.

        What libraries print meanwhile, as Ray does of workers that died, is talk and no result.
        """
        with redirect_stdout(sys.stderr), self._progress(unit="images") as show:
            yield lambda done, failed, total: show("", done + failed, total, failed=failed)

    @contextmanager
    def step_progress(self) -> Iterator[OnSteps]:
        """Show how far a training run is."""
        with self._progress(unit="steps") as show:
            yield lambda done, total: show("", done, total)

    @contextmanager
    def download_progress(self) -> Iterator[OnBytes]:
        """Show how far a download is, file by file."""
        with self._progress(unit="B") as show:
            yield lambda name, done_bytes, total_bytes: show(name, done_bytes, total_bytes)

    @contextmanager
    def _progress(self, *, unit: str) -> Iterator[Callable[..., None]]:
        if self.is_quiet:
            yield lambda *_, **__: None
        elif self._log_format == "text" and sys.stderr.isatty():
            self._bar = _ProgressBar(unit=unit)
            try:
                yield self._bar
            finally:
                self._bar.close()
                self._bar = None
        else:
            yield _ProgressLines(self._talk, unit=unit)

    def _talk(self, level: str, message: str, **fields: Any) -> None:
        line = self._line(level, message, **fields)
        try:
            if self._bar is not None:
                self._bar.write(line)
            else:
                print(line, file=sys.stderr, flush=True)
        except BrokenPipeError:
            # Nobody listens any more; that is no reason to stop working.
            _discard(sys.stderr)

    def _line(self, level: str, message: str, **fields: Any) -> str:
        if self._log_format == "json":
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            return json.dumps({"time": now, "level": level, "message": message, **fields})
        return message if level == "info" else f"{level}: {message}"


class _ProgressBar:
    """A bar with rate and time left, for somebody who watches."""

    def __init__(self, *, unit: str) -> None:
        self._unit = unit
        self._bar: tqdm[Any] | None = None
        self._label = ""

    def __call__(self, label: str, amount: int, total: int | None, *, failed: int = 0) -> None:
        if self._bar is None or label != self._label:
            self.close()
            self._label, self._bar = label, self._start(label, amount, total)
        if failed:
            self._bar.set_postfix(failed=failed, refresh=False)
        self._bar.update(amount - self._bar.n)

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()

    def _start(self, label: str, amount: int, total: int | None) -> "tqdm[Any]":
        from tqdm import tqdm

        # The first call starts the clock: what is there by then is an earlier run's work and no
        # part of the rate.
        return tqdm(
            desc=label or None,
            initial=amount,
            total=total,
            unit=self._unit if self._unit == "B" else f" {self._unit}",
            unit_scale=self._unit == "B",
            file=sys.stderr,
            dynamic_ncols=True,
            leave=False,
        )


class _ProgressLines:
    """Progress for a log file: one line every `SECONDS_BETWEEN_LINES`."""

    def __init__(self, talk: Callable[..., None], *, unit: str) -> None:
        self._talk = talk
        self._unit = unit
        self._label: str | None = None
        self._start = self._last_line = 0.0
        self._start_amount = 0

    def __call__(self, label: str, amount: int, total: int | None, *, failed: int = 0) -> None:
        now = time.monotonic()
        if label != self._label:
            self._label, self._start_amount = label, amount
            self._start = self._last_line = now
        if now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        rate = (amount - self._start_amount) / (now - self._start)
        seconds_left = round((total - amount) / rate) if rate and total is not None else None
        self._talk(
            "info",
            _progress_text(label, amount, total, self._unit, failed, rate, seconds_left),
            done=amount - failed,
            failed=failed,
            total=total,
            unit=self._unit,
            per_second=round(rate, 3),
            seconds_left=seconds_left,
        )


def _progress_text(
    label: str,
    amount: int,
    total: int | None,
    unit: str,
    failed: int,
    rate: float,
    seconds_left: int | None,
) -> str:
    parts = [f"{amount}/{'?' if total is None else total} {unit}"]
    if failed:
        parts.append(f"{failed} failed")
    parts.append(f"{rate:.3g} {unit}/s")
    if seconds_left is not None:
        parts.append(f"{timedelta(seconds=seconds_left)} left")
    return (f"{label}: " if label else "") + ", ".join(parts)


def _discard(stream: TextIO) -> None:
    """Point a broken stream at nothing, so that the flush at exit does not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


@contextmanager
def _hushed_libraries() -> Iterator[None]:
    """Keep other packages' logs, warnings and progress bars off stderr."""
    # Read when huggingface_hub is imported, which no command does before this.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def _relayed_libraries(talk: Callable[..., None]) -> Iterator[None]:
    """Let other packages' logs and warnings speak through `talk`."""

    class Relay(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            talk(record.levelname.lower(), record.getMessage(), logger=record.name)

    relay, root = Relay(), logging.getLogger()
    level = root.level
    root.addHandler(relay)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(relay)
