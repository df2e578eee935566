import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.cli.options import parse_batch_size, parse_shard, parse_size, split_commas
from odise_cli.config import Shard
from odise_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("1", 1),
        ("4096", 4096),
        ("1K", 1024),
        ("512M", 536_870_912),
        ("8G", 8_589_934_592),
        ("8g", 8_589_934_592),
        ("8 GiB", 8_589_934_592),
        ("8GB", 8_589_934_592),
        ("1.5G", 1_610_612_736),
        ("2T", 2_199_023_255_552),
    ],
)
def test_sizes_are_powers_of_1024(text, num_bytes):
    assert parse_size(text, where="--max-memory") == num_bytes


@pytest.mark.parametrize("text", ["", "G", "8X", "8 G 1", "-8G", "1,5G", "1e9", "inf"])
def test_no_size(text):
    with pytest.raises(UsageError, match=rf"^--max-memory: '{text}' is no size\. Expected"):
        parse_size(text, where="--max-memory")


def test_batch_size():
    assert parse_batch_size("auto", where="--batch-size") is None
    assert parse_batch_size("16", where="--batch-size") == 16


@pytest.mark.parametrize("text", ["many", "", "1.5", "AUTO", "4 images"])
def test_no_batch_size(text):
    with pytest.raises(UsageError, match=rf"^--batch-size: '{text}' is no number of images\."):
        parse_batch_size(text, where="--batch-size")


@given(count=st.integers(1, 1000), data=st.data())
def test_shard_as_it_is_written(count, data):
    index = data.draw(st.integers(1, count))
    assert parse_shard(f"{index}/{count}", where="--shard") == Shard(index=index, count=count)


@pytest.mark.parametrize("text", ["1", "1/", "/4", "a/b", "1/4/2", "-1/4", "1 of 4", ""])
def test_no_shard(text):
    with pytest.raises(UsageError, match=rf"^--shard: '{text}' is no part\. Expected I/N"):
        parse_shard(text, where="--shard")


@pytest.mark.parametrize("text", ["0/4", "5/4", "0/0"])
def test_a_part_that_does_not_exist(text):
    with pytest.raises(UsageError, match=rf"^--shard: {text} is no part\."):
        parse_shard(text, where="--shard")


def test_comma_lists_add_up_and_name_each_word_once():
    assert split_commas(["sky, grass", "sky", " blue sky ,,"]) == ("sky", "grass", "blue sky")
