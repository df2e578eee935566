import hashlib
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odise_cli import hub
from odise_cli.errors import MissingDataError, OdiseError, TryAgainError, UsageError
from odise_cli.hub import download

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]

Publish = Callable[..., hub.PublishedFile]


@pytest.fixture
def publish(server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Make `/head.pth` the head of `label`, whose other two files are already here."""

    def publish_head(**facts: Any) -> hub.PublishedFile:
        row: dict[str, Any] = {"licence": "MIT", "sha256": DIGEST, "size_bytes": len(CONTENT)}
        here = hub.PublishedFile(name="here.ckpt", url="https://example.invalid", **row)
        row |= {"name": "head.pth", "url": f"{server.url}/head.pth"} | facts
        head = hub.PublishedFile(**row)
        model = hub.PublishedModel(head=head, diffusion=here, clip=here)
        monkeypatch.setitem(hub.PUBLISHED_MODELS, "label", model)
        cache.mkdir(exist_ok=True)
        here.path.write_bytes(CONTENT)
        return head

    return publish_head


def left_in(cache: Path) -> set[str]:
    """What lies in the cache folder besides the finished files and the notes on their digests."""
    return {path.name for path in cache.iterdir()} - {"head.pth", "here.ckpt", "sha256.json"}


UNKNOWN_SIZE = {"size_bytes": None, "sha256": DIGEST[:8]}


@pytest.mark.parametrize("facts", [{}, UNKNOWN_SIZE], ids=["all known", "prefix only"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_missing_file_is_fetched(server, cache: Path, publish: Publish, facts, is_chunked):
    server.serve("/head.pth", CONTENT, is_chunked=is_chunked)
    head = publish(**facts)
    assert hub.pull("label") == (head,)
    assert head.path.read_bytes() == CONTENT
    assert server.ranges == [("/head.pth", None)]
    assert left_in(cache) <= {"head.pth.lock"}
    assert {check.state for check in hub.verify("label")} == {"ok"}


def test_files_that_are_here_are_not_fetched(server, publish: Publish):
    publish().path.write_bytes(CONTENT)
    assert hub.pull("label") == ()
    assert server.ranges == []


def test_the_digest_of_a_fetched_file_is_remembered(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT)
    head = publish()
    hub.pull("label")
    assert json.loads((cache / "sha256.json").read_text())[str(head.path)][2] == DIGEST


def test_a_file_that_comes_from_elsewhere_meanwhile_is_taken(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT)
    publish()
    (cache / "here.ckpt").unlink()

    def fetch_elsewhere(*_: object) -> None:
        (cache / "here.ckpt").write_bytes(CONTENT)

    hub.pull("label", on_progress=fetch_elsewhere)
    assert server.ranges == [("/head.pth", None)]


def test_a_wrong_file_in_the_place_is_kept_aside(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT)
    head = publish()
    head.path.write_bytes(OTHER)
    hub.pull("label")
    assert head.path.read_bytes() == CONTENT
    assert (cache / "head.pth.bad").read_bytes() == OTHER


def test_a_redirect_is_followed_with_its_range(server, cache: Path, publish: Publish):
    server.serve("/head.pth", redirect_to=f"{server.url}/elsewhere")
    server.serve("/elsewhere", CONTENT)
    head = publish()
    (cache / "head.pth.part").write_bytes(CONTENT[:100])
    hub.pull("label")
    assert head.path.read_bytes() == CONTENT
    assert server.ranges == [("/head.pth", "bytes=100-"), ("/elsewhere", "bytes=100-")]


def test_a_part_is_completed_by_its_rest_only(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT)
    head = publish()
    (cache / "head.pth.part").write_bytes(CONTENT[:1000])
    hub.pull("label")
    assert server.ranges == [("/head.pth", "bytes=1000-")]
    assert head.path.read_bytes() == CONTENT


@pytest.mark.parametrize("facts", [{}, UNKNOWN_SIZE], ids=["all known", "prefix only"])
def test_a_part_that_is_complete_is_taken(server, cache: Path, publish: Publish, facts):
    server.serve("/head.pth", CONTENT)
    head = publish(**facts)
    (cache / "head.pth.part").write_bytes(CONTENT)
    hub.pull("label")
    assert head.path.read_bytes() == CONTENT
    # Without a published size only the server can say that nothing is left (416).
    assert server.ranges == ([("/head.pth", f"bytes={len(CONTENT)}-")] if facts else [])


def test_a_server_without_ranges_starts_anew(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT, knows_ranges=False)
    head = publish()
    (cache / "head.pth.part").write_bytes(OTHER[:1000])
    hub.pull("label")
    assert head.path.read_bytes() == CONTENT
    assert server.ranges == [("/head.pth", "bytes=1000-")]


@pytest.mark.parametrize("facts", [{}, UNKNOWN_SIZE], ids=["all known", "prefix only"])
@pytest.mark.parametrize("part", [OTHER[:1000], OTHER, OTHER + b"more"])
def test_a_part_of_another_file_is_fetched_anew(server, cache: Path, publish: Publish, facts, part):
    server.serve("/head.pth", CONTENT)
    head = publish(**facts)
    (cache / "head.pth.part").write_bytes(part)
    hub.pull("label")
    assert head.path.read_bytes() == CONTENT
    assert server.ranges[-1] == ("/head.pth", None)
    assert left_in(cache) <= {"head.pth.lock"}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kept_bytes=st.integers(0, len(CONTENT)),
    bytes_per_connection=st.integers(len(CONTENT) // 8, len(CONTENT)),
    is_size_known=st.booleans(),
)
def test_any_interruption_ends_in_the_same_file(
    server, publish: Publish, kept_bytes: int, bytes_per_connection: int, is_size_known: bool
):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ODISE_CACHE", folder)
        server.serve("/head.pth", CONTENT, bytes_per_connection=bytes_per_connection)
        server.ranges.clear()
        head = publish(**({} if is_size_known else UNKNOWN_SIZE))
        Path(folder, "here.ckpt").write_bytes(CONTENT)
        Path(folder, "head.pth.part").write_bytes(CONTENT[:kept_bytes])
        hub.pull("label")
        assert head.path.read_bytes() == CONTENT
        starts = range(kept_bytes, len(CONTENT), bytes_per_connection)
        if kept_bytes < len(CONTENT):
            expected = [f"bytes={start}-" if start else None for start in starts]
            assert [asked for _, asked in server.ranges] == expected


def test_a_connection_that_brings_nothing_ends_the_pull(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT, bytes_per_connection=0)
    publish()
    (cache / "head.pth.part").write_bytes(CONTENT[:1000])
    message = r"/head\.pth: the connection failed after 1000 bytes .* Run the command again"
    with pytest.raises(TryAgainError, match=message):
        hub.pull("label")
    assert (cache / "head.pth.part").read_bytes() == CONTENT[:1000]
    assert not (cache / "head.pth").exists()


def test_a_server_that_always_starts_anew_and_hangs_up_is_given_up(server, publish: Publish):
    server.serve("/head.pth", CONTENT, knows_ranges=False, bytes_per_connection=700)
    publish()
    with pytest.raises(TryAgainError, match=r"failed after 700 bytes \(it ended before byte 10240"):
        hub.pull("label")
    assert len(server.ranges) == 2


def test_a_silent_server_is_given_up(server, publish: Publish, monkeypatch: pytest.MonkeyPatch):
    go_on = threading.Event()
    server.serve("/head.pth", CONTENT, go_on=go_on)
    publish()
    monkeypatch.setattr(download, "_TIMEOUT_S", 0.1)
    with pytest.raises(TryAgainError, match=r"/head\.pth: .* failed after 0 bytes \(timed out"):
        hub.pull("label")
    go_on.set()


def test_an_unreachable_server_is_named(publish: Publish):
    # Port 1 of the loopback device refuses connections.
    publish(url="http://127.0.0.1:1/head.pth")
    with pytest.raises(
        TryAgainError, match=r"^http://127\.0\.0\.1:1/head\.pth: .*refused"
    ) as caught:
        hub.pull("label")
    assert caught.value.exit_code == 75


@pytest.mark.parametrize(
    ("status", "error", "advice"),
    [
        (404, MissingDataError, "answered 404 Not Found.*licence: MIT.*put it at .*head\\.pth"),
        (401, MissingDataError, "answered 401 .*accepting its licence"),
        (403, MissingDataError, "answered 403 .*accepting its licence"),
        (429, TryAgainError, "answered 429 .*again later"),
        (503, TryAgainError, "answered 503 Service Unavailable.*again later"),
    ],
)
def test_refusals_say_what_to_do(
    server, cache: Path, publish: Publish, status: int, error: type[OdiseError], advice: str
):
    server.serve("/head.pth", status=status)
    publish()
    (cache / "head.pth.part").write_bytes(CONTENT[:1000])
    with pytest.raises(error, match=rf"^http://127\.0\.0\.1:\d+/head\.pth: .*{advice}"):
        hub.pull("label")
    assert (cache / "head.pth.part").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize(
    ("facts", "expected"), [({}, f"Expected {DIGEST}\\."), (UNKNOWN_SIZE, f"{DIGEST[:8]}…\\.")]
)
def test_wrong_content_is_kept_aside(server, cache: Path, publish: Publish, facts, expected):
    server.serve("/head.pth", OTHER)
    publish(**facts)
    found = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(MissingDataError, match=f"has the sha256 {found}.*{expected}.*head.pth.bad"):
        hub.pull("label")
    assert (cache / "head.pth.bad").read_bytes() == OTHER
    assert not (cache / "head.pth").exists()
    assert not (cache / "head.pth.part").exists()


def test_wrong_content_leaves_the_file_in_the_place_alone(server, cache: Path, publish: Publish):
    server.serve("/head.pth", OTHER)
    head = publish()
    head.path.write_bytes(b"somebody's own file")
    with pytest.raises(MissingDataError, match="sha256"):
        hub.pull("label")
    assert head.path.read_bytes() == b"somebody's own file"


def test_another_size_is_refused_before_a_byte_is_written(server, cache: Path, publish: Publish):
    server.serve("/head.pth", b"<html>please log in</html>", knows_ranges=False)
    publish()
    (cache / "head.pth.part").write_bytes(CONTENT[:1000])
    with pytest.raises(MissingDataError, match=r"the server announces 26 bytes\. Expected 10240"):
        hub.pull("label")
    assert (cache / "head.pth.part").read_bytes() == CONTENT[:1000]


def test_a_file_that_does_not_fit_is_refused_at_once(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT, announced_bytes=10**18)
    publish(size_bytes=10**18)
    with pytest.raises(
        TryAgainError, match=r"head\.pth, 1000000000\.00 GB\. Make room, or set ODI"
    ):
        hub.pull("label")
    assert not (cache / "head.pth.part").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is a disk that is always full")
def test_a_full_disk_is_named(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT)
    publish()
    (cache / "head.pth.part").symlink_to("/dev/full")
    with pytest.raises(TryAgainError, match=r"the disk is full \(No space left on device\)"):
        hub.pull("label")


def test_a_folder_that_cannot_be_written_is_named(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    publish()
    (tmp_path / "file").touch()
    monkeypatch.setenv("ODISE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UsageError, match=r"file/cache: head\.pth cannot be stored .*Set ODISE_CAC"):
        hub.pull("label")


def test_offline_never_asks_the_server(server, cache: Path, publish: Publish):
    server.serve("/head.pth", CONTENT)
    publish()
    message = rf"--offline: head\.pth would have to be fetched \(0 MB\).* must be in {cache}"
    with pytest.raises(MissingDataError, match=message) as caught:
        hub.pull("label", offline=True)
    assert caught.value.exit_code == 5
    assert server.ranges == []


def test_offline_is_content_with_files_that_are_here(server, publish: Publish):
    publish().path.write_bytes(CONTENT)
    assert hub.pull("label", offline=True) == ()


def test_a_second_pull_of_the_same_file_steps_back(server, publish: Publish):
    go_on = threading.Event()
    server.serve("/head.pth", CONTENT, go_on=go_on)
    head = publish()
    first = threading.Thread(target=hub.pull, args=("label",))
    first.start()
    assert server.has_request.wait(timeout=20)
    with pytest.raises(TryAgainError, match=r"head\.pth: another process is fetching this file"):
        hub.pull("label")
    go_on.set()
    first.join()
    assert head.path.read_bytes() == CONTENT
    assert server.ranges == [("/head.pth", None)]


@pytest.mark.parametrize(
    ("facts", "is_chunked", "total"),
    [({}, True, 10240), (UNKNOWN_SIZE, False, 10240), (UNKNOWN_SIZE, True, None)],
)
def test_progress_counts_what_was_here_before(
    server,
    cache: Path,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    facts: dict[str, Any],
    is_chunked: bool,
    total: int | None,
):
    monkeypatch.setattr(download, "_CHUNK_BYTES", 4000)
    server.serve("/head.pth", CONTENT, is_chunked=is_chunked)
    publish(**facts)
    (cache / "head.pth.part").write_bytes(CONTENT[:1000])
    seen: list[tuple[str, int, int | None]] = []
    hub.pull("label", on_progress=lambda file, *counts: seen.append((file.name, *counts)))
    assert seen == [("head.pth", done, total) for done in (5000, 9000, 10240)]
