from pathlib import Path

import pytest

from odise_cli import hub
from odise_cli.commands.models import list_models, pull_models, verify_models
from odise_cli.errors import MissingDataError, UsageError

# The sha256 of b"abc": FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ODISE_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def small_label(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`label` made of three files that contain b"abc", all of them here."""
    files = [
        hub.PublishedFile(name=name, url="https://example.invalid", licence="MIT", **facts)
        for name in ("head.pth", "sd.ckpt", "clip.pt")
        for facts in [{"sha256": ABC, "size_bytes": 3}]
    ]
    model = hub.PublishedModel(head=files[0], diffusion=files[1], clip=files[2])
    monkeypatch.setitem(hub.PUBLISHED_MODELS, "label", model)
    for file in files:
        file.path.write_bytes(b"abc")


def test_list_shows_every_model_and_what_is_here_of_it(cache: Path):
    (cache / "odise_label_coco_50e-b67d2efc.pth").write_bytes(b"abc")
    label, caption, tiny = list_models()
    assert [(m.name, m.state, m.size) for m in (label, caption, tiny)] == [
        ("label", "incomplete", "at least 5.20 GB"),
        ("caption", "incomplete", "at least 5.20 GB"),
        ("tiny", "bundled", tiny.size),
    ]
    assert [(file.name, file.size_bytes, file.state) for file in label.files] == [
        ("odise_label_coco_50e-b67d2efc.pth", None, "present"),
        ("ViT-L-14-336px.pt", 934_088_680, "missing"),
        ("sd-v1-3.ckpt", 4_265_380_512, "missing"),
    ]
    assert label.licence == "CC BY-NC-SA 4.0, MIT, CreativeML OpenRAIL-M"
    assert label.notice is not None
    assert "non-commercial" in label.notice
    assert (tiny.files, tiny.notice) == ((), None)
    assert 15 < float(tiny.size.removesuffix(" MB")) <= 30


def test_verify_reads_what_list_only_sees(small_label: None, cache: Path):
    assert verify_models("label").state == "ready"
    (cache / "sd.ckpt").write_bytes(b"xyz")
    assert list_models()[0].state == "ready"
    verified = verify_models("label")
    assert verified.state == "incomplete"
    assert {file.name: file.state for file in verified.files} == {
        "head.pth": "ok",
        "clip.pt": "ok",
        "sd.ckpt": "wrong sha256",
    }


def test_pull_leaves_a_complete_model_alone(small_label: None):
    status = pull_models("label")
    assert (status.name, status.state) == ("label", "ready")


def test_pull_offline_names_what_is_missing(small_label: None, cache: Path):
    (cache / "clip.pt").unlink()
    with pytest.raises(MissingDataError, match=r"--offline: clip\.pt would have to be fetched"):
        pull_models("label", offline=True)


@pytest.mark.parametrize("command", [pull_models, verify_models])
def test_the_bundled_model_needs_nothing(cache: Path, command):
    assert command("tiny").state == "bundled"
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("command", [pull_models, verify_models])
def test_unknown_models_are_named(command):
    with pytest.raises(UsageError, match="'tyni' is no published model"):
        command("tyni")
