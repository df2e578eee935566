"""A folder of exported graphs: which files it has, and how each runtime opens them.

    exported/
    ├── odise.json            `ModelConfig`, and under `graphs` a `GraphConfig`
    ├── vision_HxW.onnx       one for each canvas
    ├── text.onnx
    ├── classifier.onnx
    └── weights.bin           what all of the ONNX graphs weigh; .pt2 files have theirs inside

Runs on the CPU. Knows nothing of what the graphs compute.
"""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from odise_cli.errors import CheckpointError, MissingDataError
from odise_cli.model.checkpoint import CONFIG_FILE, read_config_file
from odise_cli.model.config import ModelConfig
from odise_cli.model.exported import ExportedOdise, Graph, GraphConfig, Size

WEIGHTS_FILE = "weights.bin"
_KEY = "graphs"


@dataclass(frozen=True, kw_only=True)
class GraphFiles:
    """Where the graphs of a model are."""

    folder: Path
    config: ModelConfig
    graphs: GraphConfig

    def path(self, name: str) -> Path:
        """The file of a graph."""
        return self.folder / f"{name}.{self.graphs.format}"

    def weight_files(self) -> list[Path]:
        """Every file with weights in it; their hashes identify the model."""
        names = [*map(vision_name, self.graphs.canvases), "text", "classifier"]
        paths = [self.path(name) for name in names]
        if self.graphs.format == "onnx":
            paths.append(self.folder / WEIGHTS_FILE)
        return sorted(paths)


def vision_name(canvas: Size) -> str:
    """What the vision graph of a canvas is called."""
    return f"vision_{canvas[0]}x{canvas[1]}"


def write_graph_config(config: ModelConfig, graphs: GraphConfig, folder: Path) -> None:
    """Write the folder's `odise.json`."""
    content = {**config.to_json(), _KEY: asdict(graphs)}
    (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_graph_folder(folder: Path) -> GraphFiles | None:
    """Find the graphs of a folder; None if it is a folder of weights.

    Raises:
        MissingDataError: if there is no `odise.json`, or a file is missing.
        CheckpointError: if `odise.json` cannot be used.
    """
    content = read_config_file(folder)
    if _KEY not in content:
        return None
    graphs = GraphConfig.from_json(content.pop(_KEY))
    files = GraphFiles(folder=folder, config=ModelConfig.from_json(content), graphs=graphs)
    missing = [path.name for path in files.weight_files() if not path.is_file()]
    if missing:
        raise MissingDataError(
            f"{folder}: no {', '.join(missing)} in it. Expected every file that odise export "
            "wrote. Copy the whole folder, or export the model again."
        )
    return files


def open_network(files: GraphFiles) -> ExportedOdise:
    """Open the graphs; that of a canvas when the first image comes that needs it.

    Raises:
        MissingDataError: if the runtime is not installed.
        CheckpointError: if a graph cannot be opened.
    """
    open_graph = _open_onnx if files.graphs.format == "onnx" else _open_pt2

    @cache
    def vision(canvas: Size) -> Graph:
        return open_graph(files.path(vision_name(canvas)))

    return ExportedOdise(
        files.config,
        files.graphs,
        vision=vision,
        text=open_graph(files.path("text")),
        classifier=open_graph(files.path("classifier")),
    )


def require_onnxruntime() -> Any:
    """The onnxruntime package.

    Raises:
        MissingDataError: if it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDataError(
            "ONNX models need onnxruntime, which is not installed. Expected the extra onnx. "
            "Run: pip install 'odise-cli[onnx]'."
        ) from error
    return onnxruntime


def _open_onnx(path: Path) -> Graph:
    runtime = require_onnxruntime()
    failures = _exceptions_of(runtime)
    options = runtime.SessionOptions()
    only_errors = 3
    options.log_severity_level = only_errors
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait must not spin on the cores that decoding and writing need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except failures as error:
        raise _unusable(path, "onnxruntime", error) from error
    names = [value.name for value in session.get_inputs()]

    def run(*inputs: Tensor) -> Sequence[Tensor]:
        feeds = {name: x.contiguous().numpy() for name, x in zip(names, inputs, strict=True)}
        try:
            return [torch.from_numpy(x) for x in session.run(None, feeds)]
        except failures as error:
            if "allocat" in str(error):
                raise MemoryError(str(error)) from error
            raise

    return run


def _exceptions_of(runtime: Any) -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its classes have nothing in common but `Exception`."""
    state = vars(runtime.capi.onnxruntime_pybind11_state)
    return tuple(
        kind for kind in state.values() if isinstance(kind, type) and issubclass(kind, Exception)
    )


def _open_pt2(path: Path) -> Graph:
    try:
        program: Graph = torch.export.load(path).module()
    except (RuntimeError, OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise _unusable(path, "torch", error) from error
    return program


def _unusable(path: Path, runtime: str, error: Exception) -> CheckpointError:
    reason = str(error).strip().partition("\n")[0]
    return CheckpointError(
        f"{path}: {runtime} cannot open it ({reason}). Expected a graph that odise export wrote. "
        "Copy it again, or export the model again."
    )
