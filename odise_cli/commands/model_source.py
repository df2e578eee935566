"""What `--model` and `--weights` mean: which files, which licence, which identity.

Finding a model opens no weights, so that everything that is missing is said at once.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from odise_cli.config import SegmentConfig
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.hub import (
    BUNDLED_FOLDER,
    BUNDLED_MODEL,
    LICENCE_NOTICE,
    PUBLISHED_MODELS,
    file_sha256,
    locate,
)
from odise_cli.model.checkpoint import CONFIG_FILE, ModelFiles, load_model, read_model_folder
from odise_cli.model.config import PUBLISHED_CAPTION, PUBLISHED_LABEL, ModelConfig
from odise_cli.model.graph_files import read_graph_folder
from odise_cli.model.odise import Odise
from odise_cli.vocabulary.loader import load_vocabulary

_PUBLISHED_CONFIGS = {"label": PUBLISHED_LABEL, "caption": PUBLISHED_CAPTION}
_TRAINING_VOCABULARY = "coco133"


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model that was found, not loaded."""

    config: ModelConfig
    files: ModelFiles
    notice: str
    """What users must be told once; may be empty."""
    canvases: tuple[tuple[int, int], ...] = ()
    """Sizes of which one has to hold an image; none is any."""

    def weights_sha256(self) -> dict[str, str]:
        """Hash of every local file of weights by the part that it is: the model's identity.

        Parts that a library fetches by name have none and are known by that name.
        """
        named = {"diffusion": self.files.diffusion, "clip": self.files.clip}
        hashes = {part: name for part, name in named.items() if not Path(name).exists()}
        paths = self.files.weight_files()
        return hashes | {_part_name(path, self.files): file_sha256(path) for path in paths}

    def text_encoder_id(self) -> str:
        """What identifies the text encoder's weights among cached embeddings."""
        clip = Path(self.files.clip)
        if clip.is_file():
            return file_sha256(clip)
        if clip.is_dir():
            return "+".join(file_sha256(path) for path in sorted(clip.glob("*.safetensors")))
        return self.files.clip

    def settled(self, config: SegmentConfig) -> SegmentConfig:
        """The configuration, with all that the model itself decides: nothing."""
        return config

    def load(self, *, offline: bool, seed: int, has_head: bool = True) -> Odise:
        """Load the model, on the CPU in fp32.

        Args:
            offline: never touch the network.
            seed: of the diffusion model's noise.
            has_head: read the head; without, its tensors are whatever the libraries made of them.

        Raises:
            MissingDataError: if a part is missing.
            CheckpointError: if a part cannot be used.
        """
        files = replace(self.files, config=self.config)
        return load_model(files, offline=offline, seed=seed, has_head=has_head)


def _part_name(path: Path, files: ModelFiles) -> str:
    """What a file of weights is in its model, wherever the model lies and however it was named."""
    if path == files.head:
        return "head"
    for part, root in (("clip", Path(files.clip)), ("diffusion", Path(files.diffusion))):
        if path == root:
            return part
        if path.is_relative_to(root):
            return f"{part}/{path.relative_to(root).as_posix()}"
    return path.stem


def find_model(name: str, *, weights: Path | None, has_head: bool = True) -> ModelSource:
    """Find what `--model` names.

    Args:
        name: `label`, `caption`, `tiny` or a model folder.
        weights: a head that replaces the model's own.
        has_head: whether the head is needed; without, it need not be there.

    Raises:
        MissingDataError: if there is no such model, or files of it are missing.
        CheckpointError: if a model folder's configuration cannot be used.
        UsageError: if the folder holds exported graphs, which only run.
    """
    if weights is not None and not weights.is_file():
        raise MissingDataError(
            f"--weights: {weights} does not exist. Expected a .pth or .safetensors head. "
            "Check the path."
        )
    if name in PUBLISHED_MODELS:
        # A head that is named need not be downloaded, whether or not it is there.
        paths = locate(name, head=weights if has_head else Path())
        words, _ = load_vocabulary([_TRAINING_VOCABULARY])
        config = replace(_PUBLISHED_CONFIGS[name], training_words=words.words)
        files = ModelFiles(
            config=config,
            head=paths.head,
            diffusion=str(paths.diffusion),
            clip=str(paths.clip),
        )
        return ModelSource(config=config, files=files, notice=LICENCE_NOTICE)
    folder = BUNDLED_FOLDER if name == BUNDLED_MODEL else Path(name)
    if not folder.is_dir():
        raise MissingDataError(
            f"--model: {name!r} is neither a model nor a folder. "
            f"Expected {', '.join([*PUBLISHED_MODELS, BUNDLED_MODEL])} or a model folder. "
            "`odise models list` shows what is here."
        )
    if (folder / CONFIG_FILE).is_file() and read_graph_folder(folder) is not None:
        raise UsageError(
            f"--model: {name} is an exported model, which only `odise segment` and `odise "
            "evaluate` can run. Expected a model of weights. Use the one that it was made from."
        )
    files = read_model_folder(folder)
    if weights is not None:
        files = replace(files, head=weights)
    return ModelSource(config=files.config, files=files, notice=files.config.notice)
