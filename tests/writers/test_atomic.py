import errno
import os
import subprocess

import pytest

from odise_cli.errors import ImageError, TryAgainError, UsageError
from odise_cli.writers.atomic import (
    AtomicFile,
    explained_errors,
    link_atomic,
    new_folder,
    remove_file,
    temporary_path,
    write_atomic,
)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this process may not mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_file_and_its_folders_appear(tmp_path):
    write_atomic(tmp_path / "a" / "b" / "c.bin", b"new")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"new"
    assert names_in(tmp_path / "a" / "b") == ["c.bin"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with AtomicFile(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        assert temporary_path(path).exists()
    assert path.read_bytes() == b"new"


def test_an_exception_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), AtomicFile(path) as file:
        file.write(bytes([1 // 0]))
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_a_temporary_has_a_short_hidden_name_of_its_own(tmp_path):
    temporary = temporary_path(tmp_path / f"{'x' * 251}.png")
    assert temporary.name.startswith(".odise-")
    assert temporary.name.endswith(".tmp")
    assert len(temporary.name) < 40
    assert temporary != temporary_path(tmp_path / f"{'y' * 251}.png")


def test_a_full_disk_is_worth_another_try(small_disk):
    path = small_disk / "folder" / "file"
    write_atomic(path, b"old")
    with pytest.raises(
        TryAgainError, match=r"folder/file: cannot be written now: No space"
    ) as info:
        write_atomic(path, bytes(1 << 20))
    assert info.value.exit_code == 75
    assert path.read_bytes() == b"old"
    assert names_in(path.parent) == ["file"]


def test_a_file_size_limit_is_worth_another_try(tmp_path, small_files):
    small_files(4096)
    with pytest.raises(TryAgainError, match="cannot be written now: File too large"):
        write_atomic(tmp_path / "file", bytes(5000))
    # Not left to the fixture: what pytest itself prints may go to a file.
    small_files(None)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failing_flush_is_worth_another_try(tmp_path, monkeypatch, code):
    def refuse(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(TryAgainError, match=os.strerror(code)):
        write_atomic(tmp_path / "file", b"new")
    assert names_in(tmp_path) == []


def test_a_disk_that_is_read_only_is_an_error_of_use(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UsageError, match="file: cannot be written: Read-only file system"):
        write_atomic(small_disk / "file", b"new")


def test_a_folder_that_may_not_be_written_is_an_error_of_use(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="file: cannot be written: Permission denied"):
        write_atomic(tmp_path / "file", b"new")


def test_a_path_below_a_file_is_an_error_of_use(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"below: cannot be written: .*/file is a file and no"):
        write_atomic(tmp_path / "file" / "below", b"new")


def test_a_name_that_is_too_long_concerns_its_image_only(tmp_path):
    path = tmp_path / f"{'x' * 300}.png"
    with pytest.raises(ImageError, match="cannot be written: File name too long"):
        write_atomic(path, b"new")
    assert names_in(tmp_path) == []


def test_what_is_no_trouble_with_files_passes_through(tmp_path):
    with pytest.raises(KeyError, match="key"), explained_errors(tmp_path):
        raise KeyError("key")


def test_a_link_shares_the_bytes(tmp_path):
    write_atomic(tmp_path / "source", b"bytes")
    link_atomic(tmp_path / "source", tmp_path / "folder" / "link")
    assert (tmp_path / "folder" / "link").samefile(tmp_path / "source")
    assert names_in(tmp_path / "folder") == ["link"]


def test_a_link_replaces_what_is_there(tmp_path):
    write_atomic(tmp_path / "source", b"bytes")
    write_atomic(tmp_path / "link", b"old")
    temporary_path(tmp_path / "link").write_bytes(b"left by a killed run")
    link_atomic(tmp_path / "source", tmp_path / "link")
    assert (tmp_path / "link").read_bytes() == b"bytes"
    assert names_in(tmp_path) == ["link", "source"]


def test_a_link_that_is_there_already_stays(tmp_path):
    write_atomic(tmp_path / "source", b"bytes")
    for _ in range(2):
        link_atomic(tmp_path / "source", tmp_path / "link")
    assert (tmp_path / "link").samefile(tmp_path / "source")
    assert names_in(tmp_path) == ["link", "source"]


def test_another_disk_gets_a_copy(tmp_path, small_disk):
    write_atomic(tmp_path / "source", b"bytes")
    link_atomic(tmp_path / "source", small_disk / "copy")
    assert (small_disk / "copy").read_bytes() == b"bytes"
    assert names_in(small_disk) == ["copy"]


def test_removing_takes_the_temporary_along_and_minds_no_absence(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    temporary_path(path).write_bytes(b"")
    remove_file(path)
    assert names_in(tmp_path) == []
    remove_file(path)
    remove_file(tmp_path / "no" / "such" / "file")


def test_a_folder_in_the_place_of_a_file_is_not_removed(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(UsageError, match="file: cannot be written: Is a directory"):
        remove_file(tmp_path / "file")


def test_a_folder_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "folder"
    with new_folder(path) as folder:
        (folder / "a").mkdir()
        (folder / "a" / "b").write_bytes(b"new")
        assert not path.exists()
    assert (path / "a" / "b").read_bytes() == b"new"
    assert names_in(tmp_path / "deep") == ["folder"]


def test_a_folder_that_fails_is_not_there(tmp_path):
    leftover = temporary_path(tmp_path / "folder")
    leftover.mkdir()
    (leftover / "old").write_bytes(b"of a killed run")
    found = []

    def fail():
        with new_folder(tmp_path / "folder") as folder:
            found.append(names_in(folder))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert found == [[]]
    assert names_in(tmp_path) == []


def test_a_folder_takes_no_place_that_is_taken(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="is not empty"), new_folder(tmp_path):
        pass
    with pytest.raises(UsageError, match="file is a file and no folder"):
        new_folder(tmp_path / "file").__enter__()
