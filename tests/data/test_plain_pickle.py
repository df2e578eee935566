import os
import pickle

import numpy as np
import pytest

from odise_cli.data.plain_pickle import read_plain_pickle
from odise_cli.errors import UsageError

DATA = {
    "filename": ["a.jpg", "b.jpg"],
    "counts": np.arange(6, dtype=np.int64).reshape(2, 3),
    "presence": np.eye(3, dtype=np.uint8),
    "share": np.float64(0.25),
    "names": np.array(["wall", None, "sky"], object),
    "number": 7,
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol(tmp_path, protocol):
    path = tmp_path / "index.pkl"
    path.write_bytes(pickle.dumps(DATA, protocol=protocol))
    data = read_plain_pickle(path)
    assert data.keys() == DATA.keys()
    for name, value in DATA.items():
        np.testing.assert_array_equal(data[name], value)
        assert type(data[name]) is type(value)


def test_arrays_of_old_numpy(tmp_path):
    # As numpy 1 wrote it: the package's old name, and 0 and 1 for the two flags of a type.
    old = pickle.dumps(np.arange(3, dtype="<i8"), protocol=2)
    old = old.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    flags = pickle.dumps(("i8", False, True), protocol=2)[2:-3]
    assert b"\x89\x88\x87" in flags + b"\x87"
    old = old.replace(b"\x89\x88\x87", b"K\x00K\x01\x87")
    assert b"K\x00K\x01\x87" in old
    path = tmp_path / "index.pkl"
    path.write_bytes(old)
    assert read_plain_pickle(path).tolist() == [0, 1, 2]


class Bomb:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    ("bomb", "asked"),
    [
        (Bomb(os.system, "touch {marker}"), "posix.system"),
        (Bomb(eval, "open('{marker}', 'w')"), "builtins.eval"),
        (Bomb(np.load, "{marker}"), "numpy.load"),
        (Bomb(getattr, np, "load"), "builtins.getattr"),
    ],
)
def test_code_is_never_run(tmp_path, bomb, asked):
    marker, path = tmp_path / "marker", tmp_path / "index.pkl"
    bomb.call = tuple(
        part.format(marker=marker) if isinstance(part, str) else part
        for part in bomb.call
        if part is not np
    )
    path.write_bytes(pickle.dumps({"filename": [bomb]}))
    with pytest.raises(UsageError, match=rf"index\.pkl: cannot be read .* asks for {asked}\."):
        read_plain_pickle(path)
    assert not marker.exists()


def test_a_name_in_an_odd_encoding_is_refused(tmp_path):
    path = tmp_path / "index.pkl"
    path.write_bytes(b"c_codecs\nencode\n(Vx\nVrot13\ntR.")
    with pytest.raises(UsageError, match="text in 'rot13'"):
        read_plain_pickle(path)


@pytest.mark.parametrize("content", [b"", b"nonsense", pickle.dumps(DATA)[:200]])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "index.pkl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"index\.pkl: cannot be read as plain data: .+\. Exp"):
        read_plain_pickle(path)
