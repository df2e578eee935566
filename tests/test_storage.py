import re
from pathlib import Path

import pytest

from odise_cli.errors import TryAgainError, UsageError
from odise_cli.storage import (
    Url,
    absolute,
    explained_storage_errors,
    file_system,
    is_below,
    parse_location,
    read_bytes,
)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("preds", Path("preds")),
        ("/data/a:b//c", Path("/data/a:b/c")),
        ("file:///data/preds", Path("/data/preds")),
        ("FILE:///data/preds", Path("/data/preds")),
        ("s3://bucket/preds/", Url("s3://bucket/preds")),
        ("gs://bucket", Url("gs://bucket")),
    ],
)
def test_a_place_is_a_path_or_a_url(text, place):
    assert (parse_location(text), type(parse_location(text))) == (place, type(place))


def test_names_go_below_a_url_as_below_a_path():
    url = Url("S3://bucket/preds")
    assert url / "panoptic" / "a.png" == Url("S3://bucket/preds/panoptic/a.png")
    assert ((url / "a.png").name, url.protocol) == ("a.png", "s3")
    assert absolute(url) is url
    assert absolute(Path("preds")) == Path.cwd() / "preds"


@pytest.mark.parametrize(
    ("place", "folder", "expected"),
    [
        (Url("s3://b/x/y"), Url("s3://b/x"), True),
        (Url("s3://b/x"), Url("s3://b/x"), True),
        (Url("s3://b/xy"), Url("s3://b/x"), False),
        (Url("s3://b/x"), Path("/b"), False),
        (Path("/b/x"), Path("/b"), True),
        (Path("/b/x"), Url("s3://b"), False),
    ],
)
def test_what_is_below_what(place, folder, expected):
    assert is_below(place, folder) is expected


def test_a_driver_that_is_not_installed_is_named():
    pytest.importorskip("fsspec")
    try:
        import s3fs  # noqa: F401
    except ImportError:
        message = r"s3://bucket/x: .*s3fs.* Expected the driver of s3://\. pip install 'odise-cli\["
        with pytest.raises(UsageError, match=message):
            file_system("s3://bucket/x")
    else:
        pytest.skip("s3fs is installed")


def test_a_protocol_that_nobody_knows():
    with pytest.raises(UsageError, match="nope://b/x: Protocol not known: nope"):
        file_system("nope://b/x")


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (FileNotFoundError("bucket"), UsageError, "s3://b: does not exist (bucket)."),
        (PermissionError("403"), UsageError, "s3://b: is not permitted (403)."),
        (ConnectionError("reset"), TryAgainError, "s3://b: ConnectionError: reset."),
        (KeyError("ETag"), TryAgainError, "s3://b: KeyError: 'ETag'."),
    ],
)
def test_what_drivers_raise_has_an_exit_code(raised, expected, message):
    with pytest.raises(expected, match=re.escape(message)), explained_storage_errors("s3://b"):
        raise raised


def test_a_whole_object_is_read(bucket):
    bucket.pipe_file("/bucket/a.jpg", b"bytes")
    assert read_bytes(Url("memory://bucket/a.jpg")) == b"bytes"
    with pytest.raises(FileNotFoundError):
        read_bytes(Url("memory://bucket/b.jpg"))
