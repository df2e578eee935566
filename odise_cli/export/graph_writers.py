"""Captured graphs into files: ONNX with shared external weights, or torch's own format.

Knows no network and does not look at what the graphs compute.
"""

import hashlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import torch

from odise_cli.errors import MissingDataError
from odise_cli.export.graphs import Graph, named_operators
from odise_cli.model.graph_files import WEIGHTS_FILE

_OPSET = 20
_KEPT_INSIDE_BYTES = 1024
_ALIGNMENT = 4096
"""Tensors begin at pages of the file, so that a runtime can map them."""


def require_onnx() -> None:
    """Make sure that ONNX can be written and run.

    Raises:
        MissingDataError: naming the package that is not installed.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise MissingDataError(
                f"--format onnx: {name} is not installed. Expected the extra onnx. "
                "Run: pip install 'odise-cli[onnx]'."
            )


class OnnxFolder:
    """ONNX files in a folder, whose weights are in one file beside them.

    Equal tensors of different graphs are there once. No file of protobuf exceeds 2 GB.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / WEIGHTS_FILE).open("wb")
        self._offsets: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, name: str, graph: Graph) -> None:
        """Write a graph.

        Raises:
            ExportError: an operator has no ONNX form.
            OSError: the disk is full, or cannot be written to.
        """
        import onnx_ir
        from onnxscript import optimizer

        with named_operators("--format onnx"), _quiet():
            program = torch.onnx.export(
                graph.program,
                input_names=graph.inputs,
                output_names=graph.outputs,
                dynamic_shapes=graph.axes,
                opset_version=_OPSET,
                dynamo=True,
                # Its rewriting drops additions of 1e-8 and takes most of the time.
                optimize=False,
                verbose=False,
            )
            assert program is not None
            model = program.model
            optimizer.inline(model)
            optimizer.fold_constants(model)
            optimizer.remove_unused_nodes(model)
        # Lines and files of the machine on which it was exported.
        for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()
        model.graph.metadata_props.clear()
        self._move_weights(model)
        onnx_ir.save(model, self._folder / f"{name}.onnx")

    def _move_weights(self, model: Any) -> None:
        import onnx_ir

        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor.nbytes < _KEPT_INSIDE_BYTES:
                continue
            value.const_value = onnx_ir.ExternalTensor(
                WEIGHTS_FILE,
                self._place(tensor.tobytes()),
                tensor.nbytes,
                tensor.dtype,
                shape=tensor.shape,
                name=value.name,
                base_dir=self._folder,
            )

    def _place(self, data: bytes) -> int:
        """Where in the file these bytes are, from now on at the latest."""
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest not in self._offsets:
            self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
            self._offsets[digest] = self._file.tell()
            self._file.write(data)
        return self._offsets[digest]


class Pt2Folder:
    """Files of torch's own format, each with its weights in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def write(self, name: str, graph: Graph) -> None:
        """Write a graph.

        Raises:
            OSError: the disk is full, or cannot be written to.
        """
        with (self._folder / f"{name}.pt2").open("wb") as file, _quiet():
            stream = _PatientStream(file)
            torch.export.save(graph.program, stream)  # type: ignore[arg-type]
            stream.raise_error()


class _PatientStream:
    """A file whose errors wait: torch ends the process when a write of its own fails."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, or pretend to."""
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
        return len(data)

    def flush(self) -> None:
        """Nothing: closing the file does it."""

    def raise_error(self) -> None:
        """Say what went wrong meanwhile.

        Raises:
            OSError: the first error of a write.
        """
        if self._error is not None:
            raise self._error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch and onnxscript say to those who develop them."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # Inputs have axes in common: that is what a name of an axis is for.
            warnings.filterwarnings("ignore", message="# The axis name")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
