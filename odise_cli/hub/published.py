"""The table of published weights, and where their files lie on this machine.

A fact nobody publishes is None here, never a guess. Knows no network.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from odise_cli.errors import MissingDataError, UsageError

LICENCE_NOTICE = (
    "The published ODISE weights are licensed CC BY-NC-SA 4.0: non-commercial use only, with "
    "attribution, derivatives under the same licence "
    "(https://creativecommons.org/licenses/by-nc-sa/4.0/). They run on Stable Diffusion v1.3 "
    "(CreativeML OpenRAIL-M, which restricts some uses) and CLIP ViT-L/14-336 (MIT)."
)
"""Printed once and written into `run.json` whenever a published head is used."""

BUNDLED_MODEL = "tiny"
BUNDLED_FOLDER = Path(__file__).parents[1] / "_models" / BUNDLED_MODEL
"""A model folder inside the package: nothing to fetch, nothing to verify."""

FileState = Literal["present", "ok", "missing", "wrong size", "wrong sha256"]
"""`present`: there, with the right size as far as it is published; its content was not read."""


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file that somebody else publishes; `name` is its name here and there."""

    name: str
    url: str
    licence: str
    sha256: str
    """Lower-case hex: the whole digest, or as many leading digits as are published."""
    size_bytes: int | None
    """None where it is not published."""

    @property
    def path(self) -> Path:
        """Where the file lies, or will lie, on this machine."""
        return cache_folder() / self.name


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """The three files that make one published model."""

    head: PublishedFile
    diffusion: PublishedFile
    clip: PublishedFile

    @property
    def files(self) -> tuple[PublishedFile, ...]:
        """Head first: it is the smallest, so a pull that cannot work fails soon."""
        return self.head, self.clip, self.diffusion


# Names and addresses: the model zoo table of https://github.com/NVlabs/ODISE (README). Licence: the
# notes of its release v1.0.0. The eight hex digits in the names are the beginning of the sha256:
# enough against damage, not against forgery. Neither sizes nor whole digests are published.
_ODISE_RELEASE = "https://github.com/NVlabs/ODISE/releases/download/v1.0.0"
_LABEL_HEAD = PublishedFile(
    name="odise_label_coco_50e-b67d2efc.pth",
    url=f"{_ODISE_RELEASE}/odise_label_coco_50e-b67d2efc.pth",
    licence="CC BY-NC-SA 4.0",
    sha256="b67d2efc",
    size_bytes=None,
)
_CAPTION_HEAD = PublishedFile(
    name="odise_caption_coco_50e-853cc971.pth",
    url=f"{_ODISE_RELEASE}/odise_caption_coco_50e-853cc971.pth",
    licence="CC BY-NC-SA 4.0",
    sha256="853cc971",
    size_bytes=None,
)
# Address and licence: the model card of https://huggingface.co/CompVis/stable-diffusion-v-1-3-original.
# Size and digest: the Git LFS pointer in its commit cfc98579294739856f123e04acc68bf78e2515b0, which
# commit ba927124778381ca3931ad07abb9c1ef8ec7af61 renamed to sd-v1-3.ckpt without a change.
_STABLE_DIFFUSION_V1_3 = PublishedFile(
    name="sd-v1-3.ckpt",
    url="https://huggingface.co/CompVis/stable-diffusion-v-1-3-original/resolve/main/sd-v1-3.ckpt",
    licence="CreativeML OpenRAIL-M",
    sha256="2cff93af4dcc07c3e03110205988ff98481e86539c51a8098d4f2236e41f7f2f",
    size_bytes=4_265_380_512,
)
# Address and digest (a part of the address): open_clip's `pretrained.py`, "ViT-L-14-336", "openai".
# Licence: https://github.com/openai/CLIP. The size is not OpenAI's word: it is what several public
# projects record for this digest.
_CLIP_SHA256 = "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"
_CLIP_VIT_L_14_336 = PublishedFile(
    name="ViT-L-14-336px.pt",
    url=f"https://openaipublic.azureedge.net/clip/models/{_CLIP_SHA256}/ViT-L-14-336px.pt",
    licence="MIT",
    sha256=_CLIP_SHA256,
    size_bytes=934_088_680,
)

PUBLISHED_MODELS = {
    "label": PublishedModel(
        head=_LABEL_HEAD, diffusion=_STABLE_DIFFUSION_V1_3, clip=_CLIP_VIT_L_14_336
    ),
    "caption": PublishedModel(
        head=_CAPTION_HEAD, diffusion=_STABLE_DIFFUSION_V1_3, clip=_CLIP_VIT_L_14_336
    ),
}


@dataclass(frozen=True, kw_only=True)
class WeightPaths:
    """The local files of one published model, all of them there."""

    head: Path
    diffusion: Path
    """An original Stable Diffusion checkpoint (`.ckpt`)."""
    clip: Path
    """An original OpenAI checkpoint (a TorchScript archive)."""


def cache_folder() -> Path:
    """Where weights and digests are kept: `$ODISE_CACHE`, else `~/.cache/odise`."""
    chosen = os.environ.get("ODISE_CACHE")
    return (Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "odise").absolute()


def published_model(name: str) -> PublishedModel:
    """Look a published model up by name.

    Raises:
        UsageError: No published model has this name.
    """
    if name not in PUBLISHED_MODELS:
        raise UsageError(
            f"models: {name!r} is no published model. Expected {' or '.join(PUBLISHED_MODELS)}. "
            'See "odise models list".'
        )
    return PUBLISHED_MODELS[name]


def locate(name: str, *, head: Path | None = None) -> WeightPaths:
    """Find a published model's files on this machine; nothing is fetched or hashed.

    Args:
        name: `label` or `caption`.
        head: A local head that takes the place of the published one.

    Raises:
        UsageError: No published model has this name.
        MissingDataError: A file is not there, or has another size than the published one.
    """
    model = published_model(name)
    needed = [file for file in model.files if head is None or file is not model.head]
    unusable = [file for file in needed if presence(file) != "present"]
    if unusable:
        licences = ", ".join(dict.fromkeys(file.licence for file in unusable))
        raise MissingDataError(
            f"--model {name}: "
            + ", ".join(f"{file.name} ({presence(file)})" for file in unusable)
            + f". Expected {len(needed)} files in {cache_folder()}. "
            f'Fetch what is missing with "odise models pull {name}" '
            f"({total_size_text(unusable)}; licence: {licences}), or put the files there "
            'under these names. "--model tiny" needs no download.'
        )
    return WeightPaths(
        head=head or model.head.path, diffusion=model.diffusion.path, clip=model.clip.path
    )


def presence(file: PublishedFile) -> FileState:
    """Say whether a published file is here, without reading it."""
    if not file.path.is_file():
        return "missing"
    if file.size_bytes not in (None, file.path.stat().st_size):
        return "wrong size"
    return "present"


def size_text(size_bytes: int) -> str:
    """A file's size as download pages write it, in powers of ten: 4.27 GB, 934 MB."""
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def total_size_text(files: Sequence[PublishedFile]) -> str:
    """The size of several files in words; says so where a size is not published."""
    known = [file.size_bytes for file in files if file.size_bytes is not None]
    if not known:
        return "size not published"
    return ("" if len(known) == len(files) else "at least ") + size_text(sum(known))
