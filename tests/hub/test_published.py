import importlib.util
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from odise_cli import hub
from odise_cli.errors import MissingDataError, UsageError

LABEL, CAPTION = hub.PUBLISHED_MODELS["label"], hub.PUBLISHED_MODELS["caption"]
HEAD, DIFFUSION, CLIP = LABEL.head, LABEL.diffusion, LABEL.clip


def put(file: hub.PublishedFile, size_bytes: int) -> Path:
    """A sparse file of the given size: gigabytes that take no room."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    with file.path.open("wb") as stream:
        stream.truncate(size_bytes)
    return file.path


@pytest.mark.parametrize("file", [*LABEL.files, CAPTION.head], ids=lambda file: file.name)
def test_every_row_is_consistent(file: hub.PublishedFile):
    address = urlsplit(file.url)
    assert address.scheme == "https"
    assert Path(address.path).name == file.name
    assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", file.sha256)
    assert file.licence in hub.LICENCE_NOTICE


def test_heads_carry_the_beginning_of_their_sha256_in_their_names():
    assert (HEAD.sha256, CAPTION.head.sha256) == ("b67d2efc", "853cc971")
    assert HEAD.sha256 in HEAD.name
    assert CAPTION.head.sha256 in CAPTION.head.name


def test_clip_row_is_the_file_that_open_clip_downloads():
    # Read, not imported: open_clip brings torch and torchvision with it.
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None
    assert spec.origin is not None
    table = Path(spec.origin).with_name("pretrained.py").read_text(encoding="utf-8")
    assert f'url="{CLIP.url}"' in table
    assert CLIP.sha256 in CLIP.url


def test_both_models_share_the_frozen_weights():
    assert (CAPTION.diffusion, CAPTION.clip) == (DIFFUSION, CLIP)


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ODISE_CACHE", raising=False)
    assert hub.cache_folder() == tmp_path / ".cache" / "odise"
    monkeypatch.setenv("ODISE_CACHE", "~/weights")
    assert hub.cache_folder() == tmp_path / "weights"


def test_locate_names_what_is_missing_and_how_to_get_it(cache: Path):
    with pytest.raises(MissingDataError) as caught:
        hub.locate("label")
    assert caught.value.exit_code == 5
    message = str(caught.value)
    assert message.startswith(f"--model label: {HEAD.name} (missing), ")
    for part in (
        "sd-v1-3.ckpt (missing)",
        "ViT-L-14-336px.pt (missing)",
        f"Expected 3 files in {cache}",
        '"odise models pull label"',
        # 4,265,380,512 + 934,088,680 bytes and a head of unpublished size
        "at least 5.20 GB",
        "CC BY-NC-SA 4.0, MIT, CreativeML OpenRAIL-M",
        "--model tiny",
    ):
        assert part in message


def test_locate_finds_files_put_there_by_hand(cache: Path):
    put(CAPTION.head, 7)
    put(DIFFUSION, 4_265_380_512)
    put(CLIP, 934_088_680)
    assert hub.locate("caption") == hub.WeightPaths(
        head=cache / "odise_caption_coco_50e-853cc971.pth",
        diffusion=cache / "sd-v1-3.ckpt",
        clip=cache / "ViT-L-14-336px.pt",
    )


def test_locate_refuses_a_file_of_another_size(cache: Path):
    put(HEAD, 7)
    put(DIFFUSION, 1000)
    put(CLIP, 934_088_680)
    message = r"^--model label: sd-v1-3\.ckpt \(wrong size\)\. Expected 3 files .*\(4\.27 GB; "
    with pytest.raises(MissingDataError, match=message):
        hub.locate("label")


def test_a_local_head_takes_the_place_of_the_published_one(cache: Path, tmp_path: Path):
    mine = tmp_path / "mine.safetensors"
    put(DIFFUSION, 4_265_380_512)
    with pytest.raises(MissingDataError, match=r"--model label: ViT-L-14-336px\.pt \(missing\)\. "):
        hub.locate("label", head=mine)
    put(CLIP, 934_088_680)
    assert hub.locate("label", head=mine).head == mine


@pytest.mark.parametrize("look_up", [hub.published_model, hub.locate, hub.pull, hub.verify])
def test_unknown_models_are_named(cache: Path, look_up):
    with pytest.raises(UsageError, match=r"models: 'lable' is no .* label or caption"):
        look_up("lable")


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ([HEAD], "size not published"),
        ([CLIP], "934 MB"),
        ([DIFFUSION], "4.27 GB"),
        ([DIFFUSION, CLIP], "5.20 GB"),
        ([HEAD, CLIP], "at least 934 MB"),
    ],
)
def test_total_size_says_what_is_not_published(files, text):
    assert hub.total_size_text(files) == text
