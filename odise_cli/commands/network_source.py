"""What runs when images are segmented: a model of weights, or one that was exported as graphs.

Finding it opens no weights, so that everything that is missing is said at once.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from odise_cli.commands.model_source import ModelSource, find_model
from odise_cli.config import SegmentConfig
from odise_cli.errors import UsageError
from odise_cli.hub import file_sha256
from odise_cli.model.checkpoint import CONFIG_FILE
from odise_cli.model.config import ModelConfig
from odise_cli.model.exported import ExportedOdise
from odise_cli.model.graph_files import (
    GraphFiles,
    open_network,
    read_graph_folder,
    require_onnxruntime,
)


@dataclass(frozen=True, kw_only=True)
class ExportedSource:
    """An exported model that was found, not opened."""

    files: GraphFiles

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self.files.config

    @property
    def notice(self) -> str:
        """What users must be told once; may be empty."""
        return self.files.config.notice

    @property
    def canvases(self) -> tuple[tuple[int, int], ...]:
        """Sizes (height, width) of which one has to hold an image; none is any."""
        return self.files.graphs.canvases

    def weights_sha256(self) -> dict[str, str]:
        """Hash of every file of the graphs: the model's identity."""
        return {path.name: file_sha256(path) for path in self.files.weight_files()}

    def text_encoder_id(self) -> str:
        """What identifies the text encoder's weights among cached embeddings."""
        hashes = self.weights_sha256()
        return "+".join(
            digest for name, digest in hashes.items() if name.startswith(("text.", "weights."))
        )

    def load(self, *, offline: bool, seed: int) -> ExportedOdise:  # noqa: ARG002
        """Open the graphs, on the CPU.

        Args:
            offline: graphs are never fetched from anywhere.
            seed: what was asked for; the graphs have theirs.

        Raises:
            UsageError: it is not the graphs' seed.
            MissingDataError: the runtime is not installed.
            CheckpointError: a graph cannot be opened.
        """
        if seed != self.files.graphs.seed:
            raise UsageError(
                f"--seed: {seed} is not the exported model's. Expected {self.files.graphs.seed}: "
                "the noise is a constant of its graphs. Leave out --seed, or use the model of "
                "weights that it was made from."
            )
        return open_network(self.files)

    def settled(self, config: SegmentConfig) -> SegmentConfig:
        """The configuration for graphs: on the CPU, in the precision that they were made in.

        Raises:
            UsageError: another device or precision was asked for.
            MissingDataError: the runtime is not installed.
        """
        precision = self.files.graphs.precision
        for flag, wanted, has in (
            ("--device", config.device, "cpu"),
            ("--precision", config.precision, precision),
        ):
            if wanted not in ("auto", has):
                raise UsageError(
                    f"{flag}: {wanted} is not what this exported model runs in. Expected auto or "
                    f"{has}. Leave out {flag}, or use the model of weights that it was made from."
                )
        if self.files.graphs.format == "onnx":
            require_onnxruntime()
        return replace(config, device="cpu", precision=precision)


def find_network(name: str, *, weights: Path | None) -> ModelSource | ExportedSource:
    """Find what `--model` names, be it weights or graphs.

    Args:
        name: `label`, `caption`, `tiny`, a model folder or a folder of exported graphs.
        weights: a head that replaces the model's own.

    Raises:
        MissingDataError: if there is no such model, or files of it are missing.
        CheckpointError: if a folder's configuration cannot be used.
        UsageError: if a head is to be put into graphs.
    """
    folder = Path(name)
    if not (folder / CONFIG_FILE).is_file():
        return find_model(name, weights=weights)
    files = read_graph_folder(folder)
    if files is None:
        return find_model(name, weights=weights)
    if weights is not None:
        raise UsageError(
            f"--weights: {name} is an exported model, whose head is in its graphs. Expected a "
            "model of weights. Export it again with --weights."
        )
    return ExportedSource(files=files)
