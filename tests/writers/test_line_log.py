import resource
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odise_cli.errors import TryAgainError
from odise_cli.writers.line_log import LineLog, lines_at, read_lines


def append_all(path, lines):
    with closing(LineLog(path)) as log:
        return [log.append(line) for line in lines]


def test_lines_are_found_at_their_offsets(tmp_path):
    path = tmp_path / "log"
    lines = [b"one\n", b"\n", b"three\n"]
    offsets = append_all(path, lines)
    assert offsets == [0, 4, 5]
    assert list(read_lines(path)) == list(zip(offsets, lines, strict=True))
    assert list(lines_at(path, [5, 0])) == [b"three\n", b"one\n"]


def test_a_second_opening_goes_on(tmp_path):
    append_all(tmp_path / "log", [b"one\n"])
    assert append_all(tmp_path / "log", [b"two\n"]) == [4]
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("torn", [b"x", b"x" * 65_536, b"x" * 200_000])
@pytest.mark.parametrize("whole", [b"", b"one\n", b"y" * 70_000 + b"\n"])
def test_a_torn_last_line_is_cut_off(tmp_path, whole, torn):
    path = tmp_path / "log"
    path.write_bytes(whole + torn)
    assert b"".join(line for _, line in read_lines(path)) == whole
    append_all(path, [b"next\n"])
    assert path.read_bytes() == whole + b"next\n"


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"") + b"\n"), max_size=9))
def test_what_is_appended_is_what_is_read(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("log") / "log"
    offsets = append_all(path, lines)
    assert list(lines_at(path, offsets)) == lines


def test_threads_do_not_mix_their_lines(tmp_path):
    lines = [b"%d " % n * 50 + b"\n" for n in range(200)]
    with closing(LineLog(tmp_path / "log")) as log, ThreadPoolExecutor(8) as pool:
        list(pool.map(log.append, lines))
    assert sorted(line for _, line in read_lines(tmp_path / "log")) == sorted(lines)


def test_a_line_that_does_not_fit_leaves_no_trace(tmp_path):
    path = tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(LineLog(path)) as log:
        log.append(b"one\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            # The first 96 bytes are written before the limit is hit.
            with pytest.raises(TryAgainError, match=r"log: cannot be written now: File too large"):
                log.append(b"x" * 200 + b"\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == b"one\n"
        log.append(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_no_file_has_no_lines(tmp_path):
    assert list(read_lines(tmp_path / "log")) == []
    assert list(tmp_path.iterdir()) == []
