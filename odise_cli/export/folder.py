"""A whole model into one folder of tensors, in the precision that was asked for.

Knows safetensors' errors; does not know who asks or what else goes into the folder.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from odise_cli.errors import ExportError
from odise_cli.model.checkpoint import save_model_folder
from odise_cli.model.clip import Clip
from odise_cli.model.odise import Odise

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def save_whole_model(model: Odise, folder: Path, *, precision: str) -> None:
    """Write every weight of a model, frozen parts included, as a model folder.

    Args:
        model: converted in place.
        folder: created if needed.
        precision: `fp32` or `fp16`, of the tensors in the files.

    Raises:
        ExportError: a weight that the precision cannot hold.
        OSError: the disk is full, or cannot be written to.
    """
    is_finite = {name for name, x in model.state_dict().items() if x.isfinite().all()}
    model.to(_DTYPES[precision])
    for name, tensor in model.state_dict().items():
        if name in is_finite and not tensor.isfinite().all():
            raise ExportError(
                f"--precision {precision}: {name} has values beyond "
                f"{torch.finfo(tensor.dtype).max:,.0f}. Expected weights that {precision} holds. "
                "Use --precision fp32."
            )
    with _os_errors():
        save_model_folder(model, _clip_config(model.clip), folder)


@contextmanager
def _os_errors() -> Iterator[None]:
    """What the system told safetensors, as the exception that Python has for it."""
    try:
        yield
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number)) from error


def _clip_config(clip: Clip) -> dict[str, Any]:
    """open_clip's `model_cfg` of a CLIP, read off its modules: heads are not in any shape."""
    visual, text = clip.model.visual, clip.model.transformer
    first, first_of_text = visual.transformer.resblocks[0], text.resblocks[0]
    width, text_width = first.attn.embed_dim, first_of_text.attn.embed_dim
    return {
        "embed_dim": clip.embed_dim,
        "quick_gelu": type(first.mlp.gelu).__name__ == "QuickGELU",
        "vision_cfg": {
            "image_size": clip.image_size,
            "layers": len(visual.transformer.resblocks),
            "width": width,
            "head_width": width // first.attn.num_heads,
            "mlp_ratio": first.mlp.c_fc.out_features / width,
            "patch_size": visual.conv1.kernel_size[0],
        },
        "text_cfg": {
            "context_length": clip.model.context_length,
            "vocab_size": clip.model.token_embedding.num_embeddings,
            "width": text_width,
            "heads": first_of_text.attn.num_heads,
            "mlp_ratio": first_of_text.mlp.c_fc.out_features / text_width,
            "layers": len(text.resblocks),
        },
    }
