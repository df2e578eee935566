import json
import os
from pathlib import Path

import pytest

from odise_cli import hub
from odise_cli.errors import MissingDataError

# The digests of FIPS 180-2, appendix B.1, and of the empty message.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"abc")
    return path


def set_mtime_ns(path: Path, mtime_ns: int) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns))


def test_sha256_of_known_messages(cache: Path, weights: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.touch()
    assert hub.file_sha256(weights) == ABC
    assert hub.file_sha256(empty) == EMPTY


def test_an_unchanged_file_is_read_once(cache: Path, weights: Path):
    set_mtime_ns(weights, 1_000)
    assert hub.file_sha256(weights) == ABC
    # Other content of the same size and time: only a second reading could tell.
    weights.write_bytes(b"xyz")
    set_mtime_ns(weights, 1_000)
    assert hub.file_sha256(weights) == ABC


@pytest.mark.parametrize(("content", "mtime_ns"), [(b"", 1_000), (b"", 2_000)])
def test_another_size_or_time_is_read_again(
    cache: Path, weights: Path, content: bytes, mtime_ns: int
):
    set_mtime_ns(weights, 1_000)
    hub.file_sha256(weights)
    weights.write_bytes(content)
    set_mtime_ns(weights, mtime_ns)
    assert hub.file_sha256(weights) == EMPTY


def test_a_new_time_alone_is_read_again(cache: Path, weights: Path):
    set_mtime_ns(weights, 1_000)
    hub.file_sha256(weights)
    weights.write_bytes(b"xyz")
    set_mtime_ns(weights, 1_001)
    assert hub.file_sha256(weights) != ABC


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"%s": 3}', b'{"%s": [3, 1000, null]}'],
)
def test_a_damaged_cache_is_replaced(cache: Path, weights: Path, damaged: bytes):
    set_mtime_ns(weights, 1_000)
    cache.mkdir()
    (cache / "sha256.json").write_bytes(damaged.replace(b"%s", os.fsencode(weights)))
    assert hub.file_sha256(weights) == ABC
    assert json.loads((cache / "sha256.json").read_text()) == {str(weights): [3, 1_000, ABC]}
    assert [path.name for path in cache.iterdir()] == ["sha256.json"]


def test_a_cache_that_cannot_be_written_does_not_matter(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ODISE_CACHE", str(tmp_path / "file" / "cache"))
    assert hub.file_sha256(weights) == ABC


def test_an_unreadable_file_is_named(cache: Path, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingDataError, match=r"folder: the file cannot be read \(Is a directory"):
        hub.file_sha256(tmp_path / "folder")


@pytest.fixture
def model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> hub.PublishedModel:
    """Three published files of three bytes; only the first digits of the head's are known."""
    row = {"url": "https://example.invalid", "licence": "MIT"}
    model = hub.PublishedModel(
        head=hub.PublishedFile(name="head.pth", sha256=ABC[:8], size_bytes=None, **row),
        diffusion=hub.PublishedFile(name="sd.ckpt", sha256=ABC, size_bytes=3, **row),
        clip=hub.PublishedFile(name="clip.pt", sha256=ABC, size_bytes=3, **row),
    )
    monkeypatch.setitem(hub.PUBLISHED_MODELS, "label", model)
    cache.mkdir()
    return model


def states() -> dict[str, str]:
    return {check.file.name: check.state for check in hub.verify("label")}


def test_verify_tells_the_four_states_apart(model: hub.PublishedModel, cache: Path):
    assert states() == {"head.pth": "missing", "sd.ckpt": "missing", "clip.pt": "missing"}
    (cache / "head.pth").write_bytes(b"abc")
    (cache / "sd.ckpt").write_bytes(b"xyz")
    (cache / "clip.pt").write_bytes(b"abcd")
    assert states() == {"head.pth": "ok", "sd.ckpt": "wrong sha256", "clip.pt": "wrong size"}
    (cache / "head.pth").write_bytes(b"abcd")
    (cache / "sd.ckpt").write_bytes(b"abc")
    assert states() == {"head.pth": "wrong sha256", "sd.ckpt": "ok", "clip.pt": "wrong size"}


def test_verify_does_not_trust_the_cache(model: hub.PublishedModel, cache: Path):
    (cache / "sd.ckpt").write_bytes(b"abc")
    set_mtime_ns(cache / "sd.ckpt", 1_000)
    assert states()["sd.ckpt"] == "ok"
    (cache / "sd.ckpt").write_bytes(b"xyz")
    set_mtime_ns(cache / "sd.ckpt", 1_000)
    assert states()["sd.ckpt"] == "wrong sha256"
    assert hub.file_sha256(cache / "sd.ckpt") != ABC
