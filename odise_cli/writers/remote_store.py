"""A run folder in an object store: images' files go there one by one, the run's own in parts.

An object appears whole when its upload ends, or not at all, which is what renaming does for local
files. What object stores lack is appending: journal and manifest grow in a temporary folder on
this machine, and what was added is uploaded as another object from time to time and at the end.
A run that is killed loses the lines since then; their images are computed again.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from odise_cli.storage import Url, explained_storage_errors, file_system
from odise_cli.writers.atomic import explained_errors, remove_file
from odise_cli.writers.layout import JOURNAL, LOCK, MANIFEST, RUN_JSON
from odise_cli.writers.remote_lock import EXPIRES_S, RENEWED_EVERY_S, RemoteLock

_LOGS = (JOURNAL, MANIFEST)
"""In the order in which they are uploaded: a manifest line counts on its journal line."""


class RemoteStore:
    """A run folder behind a URL; made by `open`, a context manager."""

    def __init__(self, url: Url, path: Path, lock: RemoteLock) -> None:
        self.path = path
        """The folder on this machine."""
        self._url = url
        self._lock = lock
        self._file_system = file_system(url)
        self._names = self._list()
        self._num_uploaded = dict.fromkeys(_LOGS, 0)
        self._parts: dict[str, list[str]] = {log: [] for log in _LOGS}
        self._next_part = 1
        self._error: Exception | None = None
        self._renewed_s = time.monotonic()
        self._uploading = threading.Lock()

    @classmethod
    @contextmanager
    def open(cls, url: Url, *, is_exclusive: bool) -> Iterator["RemoteStore"]:
        """The store, and what a run has left in it so far.

        Args:
            url: the run folder.
            is_exclusive: keep other runs away, and upload what the logs gain, while it is open.

        Raises:
            TryAgainError: another run is at work there, or the service does not answer.
            UsageError: there is no such place, or no driver for it.
        """
        lock = RemoteLock(url / LOCK, place=url)
        if is_exclusive:
            lock.acquire()
        try:
            with TemporaryDirectory(prefix="odise-") as folder:
                store = cls(url, Path(folder), lock)
                store._download_logs()
                if not is_exclusive:
                    yield store
                    return
                try:
                    with _repeated(store._keep_up, every_s=RENEWED_EVERY_S):
                        yield store
                finally:
                    store._upload_new_lines()
        finally:
            if is_exclusive:
                lock.release()

    def check_unused(self) -> None:
        """See that no run is at work there.

        Raises:
            TryAgainError: one is.
        """
        self._lock.check_unused()

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole object.

        Raises:
            TryAgainError: the service does not answer, or another run has taken the folder over.
            UsageError: this user may not write there.
        """
        if self._error is not None:
            raise self._error
        name = self._name(path)
        with explained_storage_errors(self._url / name):
            self._file_system.pipe_file(self._url / name, data)
        self._names.add(name)

    def remove(self, path: Path) -> None:
        """Remove an object, and the file of that name here; neither need be there."""
        name = self._name(path)
        remove_file(path)
        self._remove_objects([*self._parts.get(name, []), name])
        if name in _LOGS:
            self._parts[name] = []
            self._num_uploaded[name] = 0

    def is_file(self, path: Path) -> bool:
        """Whether an object is there, as far as this process knows."""
        return self._name(path) in self._names

    def read(self, path: Path) -> bytes:
        """The content of an object."""
        name = self._name(path)
        with explained_storage_errors(self._url / name):
            data: bytes = self._file_system.cat_file(self._url / name)
        return data

    def is_taken(self, path: Path) -> bool:
        """Whether an object is there, or any below it."""
        name = self._name(path)
        return any(f"{other}/".startswith(f"{name}/") for other in self._names)

    def publish(self, paths: Iterable[Path]) -> None:
        """Upload files that were written below `path`.

        A log is uploaded as a whole then, and its parts are removed; what a kill leaves of them
        repeats what the log says.
        """
        published = []
        with self._uploading:
            for path in paths:
                with explained_errors(path):
                    data = path.read_bytes()
                self.write(path, data)
                published.append(self._name(path))
                if published[-1] in _LOGS:
                    self._num_uploaded[published[-1]] = len(data)
            for log in _LOGS:
                if log in published:
                    self._remove_objects(self._parts[log])
                    self._parts[log] = []

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _list(self) -> set[str]:
        with explained_storage_errors(self._url):
            root = self._file_system._strip_protocol(self._url).rstrip("/")
            found = self._file_system.find(root)
        return {name[len(root) + 1 :] for name in found}

    def _download_logs(self) -> None:
        if RUN_JSON in self._names:
            (self.path / RUN_JSON).write_bytes(self.read(self.path / RUN_JSON))
        for log in _LOGS:
            self._parts[log] = sorted(n for n in self._names if n.startswith(f"{log}.part-"))
            whole = [log] if log in self._names else []
            path = self.path / log
            path.parent.mkdir(exist_ok=True)
            with explained_errors(path), path.open("wb") as file:
                for name in (*whole, *self._parts[log]):
                    file.write(self.read(self.path / name))
                self._num_uploaded[log] = file.tell()
            numbers = [int(name.split("-")[-2]) for name in self._parts[log]]
            self._next_part = max([self._next_part - 1, *numbers]) + 1

    def _keep_up(self) -> None:
        try:
            self._lock.renew()
            self._renewed_s = time.monotonic()
            self._upload_new_lines()
        except Exception as error:
            # A service that is away for a minute ends no run; the next write raises the rest.
            if self._lock.is_lost or time.monotonic() - self._renewed_s > EXPIRES_S:
                self._error = error

    def _upload_new_lines(self) -> None:
        """Upload what journal and manifest have gained, as an object each."""
        with self._uploading:
            # The manifest is read first: all that its lines count on is in the journal by then.
            gained = {log: self._new_lines(log) for log in reversed(_LOGS)}
            for log in _LOGS:
                if gained[log]:
                    name = f"{log}.part-{self._next_part:08d}-{self._lock.token}"
                    with explained_storage_errors(self._url / name):
                        self._file_system.pipe_file(self._url / name, gained[log])
                    self._names.add(name)
                    self._parts[log].append(name)
                    self._num_uploaded[log] += len(gained[log])
            self._next_part += 1

    def _new_lines(self, log: str) -> bytes:
        path = self.path / log
        if not path.exists():
            return b""
        with path.open("rb") as file:
            file.seek(self._num_uploaded[log])
            data = file.read()
        return data[: data.rfind(b"\n") + 1]

    def _remove_objects(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._names:
                with explained_storage_errors(self._url / name):
                    self._file_system.rm_file(self._url / name)
                self._names.discard(name)


@contextmanager
def _repeated(call: Callable[[], None], *, every_s: float) -> Iterator[None]:
    """Call something again and again in a thread of its own."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(every_s):
            call()

    thread = threading.Thread(target=work, name="upload")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
