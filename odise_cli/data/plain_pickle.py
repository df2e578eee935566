"""Pickles that hold data only: numbers, text, lists, dictionaries and numpy arrays.

Knows what a pickle may ask for; does not know what is in it. Anything else that a pickle names,
which is how one runs code, is refused before it is called.
"""

import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np

from odise_cli.errors import UsageError


def read_plain_pickle(path: Path) -> Any:
    """The data of a pickle file.

    Raises:
        UsageError: it is damaged, or asks for anything but plain data and numpy arrays.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    # A damaged pickle makes the unpickler stumble over anything.
    except Exception as error:
        raise UsageError(
            f"{path}: cannot be read as plain data: {error}. Expected numbers, text, lists and "
            "numpy arrays. Download it again from its owner."
        ) from error


def _dtype(description: str, align: object = False, copy: object = False) -> "np.dtype[Any]":
    """A numpy type; old pickles say 0 and 1 for False and True, of which numpy warns."""
    return np.dtype(description, align=bool(align), copy=bool(copy))


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, which pickles of protocol 2 write as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode(encoding)


_array_from_parts: Final = np.empty(0).__reduce__()[0]
_scalar_from_parts: Final = np.float64().__reduce__()[0]
_array_from_buffer: Final = np.empty(0).__reduce_ex__(5)[0]
_ALLOWED: Final[dict[tuple[str, str], Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    # The package was renamed between numpy 1 and 2; files know either name.
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _array_from_parts),
            ("multiarray", "scalar", _scalar_from_parts),
            ("numeric", "_frombuffer", _array_from_buffer),
        )
    },
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The few constructors of numpy that arrays need."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]
