"""The settings of a run: what was typed, over what a file says, over the defaults."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from odise_cli.cli import segment as segment_module
from odise_cli.cli.settings import segment_config
from odise_cli.config import SegmentConfig, Shard
from odise_cli.errors import UsageError

DEFAULT_FLAGS = {
    name: parameter.default
    for name, parameter in inspect.signature(segment_module.segment).parameters.items()
    if name != "ctx"
}


def config(config_file: Path | None = None, **typed: object) -> SegmentConfig:
    """What `odise segment imgs --vocab ade150` with these flags asks for."""
    typed = {"sources": ["imgs"], "vocab": ["ade150"], **typed}
    return segment_config(DEFAULT_FLAGS | typed, typed=set(typed), config_file=config_file)


@pytest.fixture
def settings_file(tmp_path):
    path = tmp_path / "run.toml"

    def write(text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_defaults_of_the_command_line_are_those_of_the_config():
    assert config() == SegmentConfig(sources=("imgs",), vocab=("ade150",))


def test_every_field_of_the_config_has_a_flag():
    assert {field.name for field in fields(SegmentConfig)} <= set(DEFAULT_FLAGS)


def test_raw_text_becomes_values():
    found = config(
        batch_size="4",
        max_memory_bytes="8G",
        shard="2/4",
        write=["overlay,panoptic", "segments"],
        stuff=["sky,grass"],
    )
    assert found == SegmentConfig(
        sources=("imgs",),
        vocab=("ade150",),
        batch_size=4,
        max_memory_bytes=8 * 2**30,
        shard=Shard(index=2, count=4),
        write=("panoptic", "overlay", "segments"),
        stuff=("sky", "grass"),
    )


def test_the_order_in_which_outputs_are_named_does_not_matter():
    assert config(write=["segments,panoptic"]) == config(write=["panoptic", "segments"])


def test_unknown_output():
    with pytest.raises(UsageError, match=r"^--write: 'mask' is unknown\. Expected panoptic, "):
        config(write=["panoptic,mask"])


EVERY_SETTING_TEXT = """
from-file = "list.txt"
null_separated = true
vocab = ["ade150", "a; b"]
stuff = "sky,grass"
out = "elsewhere"
write = ["segments", "panoptic"]
model = "tiny"
weights = "head.pth"
offline = true
device = "cpu"
precision = "fp32"
batch-size = 4
max-memory = "512M"
compile = true
overlap-threshold = 1
object_mask_threshold = 0.25
unknown-threshold = 0.5
alpha = 0.125
beta = 0.375
limit = 10
shard = "1/2"
max-short-side = 512
dry-run = true
overwrite = true
fail-fast = true
max-failures = 3
seed = 7
"""
EVERY_SETTING = SegmentConfig(
    from_file="list.txt",
    null_separated=True,
    vocab=("ade150", "a; b"),
    stuff=("sky", "grass"),
    out=Path("elsewhere"),
    write=("panoptic", "segments"),
    model="tiny",
    weights=Path("head.pth"),
    offline=True,
    device="cpu",
    precision="fp32",
    batch_size=4,
    max_memory_bytes=512 * 2**20,
    compile=True,
    overlap_threshold=1.0,
    object_mask_threshold=0.25,
    unknown_threshold=0.5,
    alpha=0.125,
    beta=0.375,
    limit=10,
    shard=Shard(index=1, count=2),
    max_short_side=512,
    dry_run=True,
    overwrite=True,
    fail_fast=True,
    max_failures=3,
    seed=7,
)


def test_a_settings_file_fills_what_was_not_typed(settings_file):
    found = segment_config(DEFAULT_FLAGS, typed=(), config_file=settings_file(EVERY_SETTING_TEXT))
    assert found == EVERY_SETTING
    assert isinstance(found.overlap_threshold, float)


def test_what_was_typed_wins_even_when_it_is_the_default(settings_file):
    path = settings_file('model = "tiny"\noverlap-threshold = 0.5\noffline = true')
    found = config(path, model="label", offline=False)
    assert (found.model, found.overlap_threshold, found.offline) == ("label", 0.5, False)


@pytest.mark.parametrize(
    ("text", "is_overwrite"), [("resume = true", False), ("resume = false", True)]
)
def test_resume_is_the_opposite_of_overwrite(settings_file, text, is_overwrite):
    assert config(settings_file(text)).overwrite is is_overwrite


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bach-size = 4", r"bach-size is no setting\. .* Did you mean batch-size\?"),
        ("colour = 4", r"colour is no setting\. .* Remove it\."),
        ('sources = "imgs"', r"sources is no setting\. "),
        ("max-memory-bytes = 1", r"max-memory-bytes is no setting\. .* Did you mean max-memory\?"),
        ("[segment]\nlimit = 1", r"segment is no setting\. "),
        ("limit = 1.5", r"limit: 1\.5 is of the wrong type\. Expected a whole number\."),
        ("limit = true", r"limit: True is of the wrong type\. Expected a whole number\."),
        ('alpha = "0.5"', r"alpha: '0\.5' is of the wrong type\. Expected a number\."),
        ("alpha = false", r"alpha: False is of the wrong type\. Expected a number\."),
        ("offline = 1", r"offline: 1 is of the wrong type\. Expected true or false\."),
        ("model = 5", r"model: 5 is of the wrong type\. Expected a text\."),
        ("out = 5", r"out: 5 is of the wrong type\. Expected a text\."),
        ("vocab = 5", r"vocab: 5 is of the wrong type\. Expected a text or a list of texts\."),
        ('vocab = ["a", 5]', r"vocab: 5 is of the wrong type\. Expected a list of texts\."),
        ("batch-size = 1.5", r"batch-size: 1\.5 is of the wrong type\. "),
        ('batch-size = "few"', r"batch-size: 'few' is no number of images\."),
        ('max-memory = "8X"', r"max-memory: '8X' is no size\."),
        ('shard = "1-4"', r"shard: '1-4' is no part\."),
        ("limit = 1\nlimit = 2", r"Cannot overwrite a value .*Expected TOML\."),
        ("dry-run = true\ndry_run = true", r"dry_run sets what another line has set\."),
        ("resume = true\noverwrite = true", r"overwrite sets what another line has set\."),
        ("limit: 1", r".*\(at line 1, column 6\)\. Expected TOML\."),
    ],
)
def test_errors_of_a_settings_file_name_the_file_and_the_key(settings_file, text, message):
    with pytest.raises(UsageError, match=rf"run\.toml: {message}"):
        config(settings_file(text))


def test_a_settings_file_in_another_encoding(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes('model = "größe"'.encode("latin-1"))
    with pytest.raises(UsageError, match=r"run\.toml: 'utf-8' codec can't decode byte 0xf6"):
        config(path)


def test_no_settings_file(tmp_path):
    with pytest.raises(UsageError, match=r"^--config: .*none\.toml cannot be read \(No such file"):
        config(tmp_path / "none.toml")
