"""Ctrl-C and SIGTERM as a wish: the batch in hand is finished, a second signal leaves at once.

Knows nothing of images: it sets a flag that the run reads between batches.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class StopSignals:
    """Listens for SIGINT and SIGTERM while the `with` block lasts."""

    def __init__(self, say: Callable[[str], None], *, unit: str = "batch") -> None:
        """Listen from the beginning of the block on.

        Args:
            say: called inside the signal handler, so it must not take locks or use buffers.
            unit: what is finished before the run ends, for the message.
        """
        self._say = say
        self._unit = unit
        self._received: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _NAMES:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def is_requested(self) -> bool:
        """Whether a signal has arrived; what a run's `should_stop` reads."""
        return self._received is not None

    @property
    def exit_code(self) -> int:
        """The shell's code for a process that this signal ended: 130 or 143."""
        assert self._received is not None, "no signal has arrived"
        return 128 + self._received

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        name = _NAMES[signal.Signals(number)]
        if self._received is not None:
            # Every file is written beside its place and renamed, so nothing needs tidying here.
            self._say(f"{name} again: leaving at once.")
            os._exit(128 + number)
        self._received = number
        self._say(f"{name}: finishing the {self._unit} in hand. Once more leaves at once.")
