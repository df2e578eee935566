"""One run per folder in an object store: an object that its holder renews as long as it lives.

Object stores have no locks that end with their holder. This one is an object that is created only
where none is; its holder writes it anew all the time, and one that has not been renewed for
`EXPIRES_S` belongs to nobody. Nothing rests on it but work that is not done twice: two runs of
the same settings write the same bytes, and neither writes over the other's log.
"""

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from typing import Any

from odise_cli.errors import TryAgainError
from odise_cli.storage import Url, explained_storage_errors, file_system

RENEWED_EVERY_S = 30.0
EXPIRES_S = 180.0
"""Six renewals: clocks may be a minute apart, and a service slow for one."""


class RemoteLock:
    """A lock object at `url`; `acquire`, then `renew` often enough, then `release`."""

    def __init__(self, url: Url, *, place: Url) -> None:
        self.token = uuid.uuid4().hex[:12]
        self.is_lost = False
        """Another run has it."""
        self._url = url
        self._place = place
        self._file_system = file_system(url)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            TryAgainError: another run holds it.
        """
        self.check_unused()
        with explained_storage_errors(self._url):
            if self._file_system.exists(self._url):  # a dead run's
                self._file_system.rm_file(self._url)
            # Where another run has just created it, the check below says whose it is.
            with suppress(FileExistsError):
                self._file_system.pipe_file(self._url, self._content(), mode="create")
        self.check_unused()

    def check_unused(self) -> None:
        """See that no run is at work.

        Raises:
            TryAgainError: one is.
        """
        holder = self._holder()
        if holder is None or holder["token"] == self.token:
            return
        age_s = time.time() - holder["time"]
        if age_s < EXPIRES_S:
            self.is_lost = True
            raise TryAgainError(
                f"{self._place}: in use by another run (process {holder['process']} on "
                f"{holder['host']}, seen {max(age_s, 0):.0f} s ago). One folder takes one run at a "
                f"time. If it was killed, the folder is free in {EXPIRES_S - age_s:.0f} s."
            )

    def renew(self) -> None:
        """Say that the holder is alive.

        Raises:
            TryAgainError: another run has taken the lock meanwhile.
        """
        self.check_unused()
        with explained_storage_errors(self._url):
            self._file_system.pipe_file(self._url, self._content())

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        holder = self._holder()
        if holder is not None and holder["token"] == self.token:
            with explained_storage_errors(self._url):
                self._file_system.rm_file(self._url)

    def _content(self) -> bytes:
        about = {
            "token": self.token,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "time": time.time(),
        }
        return json.dumps(about).encode()

    def _holder(self) -> dict[str, Any] | None:
        with explained_storage_errors(self._url):
            try:
                text = self._file_system.cat_file(self._url)
            except FileNotFoundError:
                return None
        try:
            holder: dict[str, Any] = json.loads(text)
            return holder if {"token", "host", "process", "time"} <= holder.keys() else None
        except (ValueError, AttributeError):
            return None
