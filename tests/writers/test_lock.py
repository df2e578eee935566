import os
import signal
import subprocess
import sys

import pytest

from odise_cli.errors import TryAgainError, UsageError
from odise_cli.writers.lock import exclusive_lock, shared_lock

HOLD = """
import sys, time
from pathlib import Path
from odise_cli.writers.lock import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def enter(lock):
    with lock:
        pass


def test_a_second_holder_is_told_who_holds_it(tmp_path):
    path = tmp_path / "preds" / ".odise" / "lock"
    message = rf"preds: in use by another run \(process {os.getpid()}\)\."
    with exclusive_lock(path), pytest.raises(TryAgainError, match=message) as info:
        enter(exclusive_lock(path))
    assert info.value.exit_code == 75


def test_a_lock_that_was_let_go_can_be_taken(tmp_path):
    path = tmp_path / ".odise" / "lock"
    for _ in range(2):
        with exclusive_lock(path):
            assert path.read_text() == f"{os.getpid()}\n"
    assert path.read_text() == ""


def test_the_kernel_takes_the_lock_of_a_killed_process(tmp_path):
    path = tmp_path / ".odise" / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TryAgainError, match=rf"\(process {holder.pid}\)"):
            enter(exclusive_lock(path))
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with exclusive_lock(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_readers_share_and_writers_wait(tmp_path):
    path = tmp_path / "preds" / ".odise" / "lock"
    with exclusive_lock(path):
        pass
    message = r"preds: in use .*\(process unknown\)"
    with shared_lock(path), shared_lock(path), pytest.raises(TryAgainError, match=message):
        enter(exclusive_lock(path))
    with exclusive_lock(path), pytest.raises(TryAgainError, match="preds: in use"):
        enter(shared_lock(path))


def test_a_folder_that_cannot_be_made_is_an_error_of_use(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"lock: cannot be written: Not a directory"):
        enter(exclusive_lock(tmp_path / "file" / ".odise" / "lock"))
