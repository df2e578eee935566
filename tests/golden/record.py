"""Record the drawn model's numbers: `python -m tests.golden.record`, only when they must change.

A change of code that is meant to keep results leaves these files as they are.
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from tests.golden import drawn
from tests.golden.stages import trace

FOLDER = Path(__file__).parent
SAMPLES = 160
WHOLE = ("panoptic", "semantic", "attn_mask", "mask_cls")
"""Recorded with every element."""
LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "numpy")


def record() -> None:
    tensors: dict[str, Tensor] = {}
    runs = {}
    for supervision in ("label", "caption"):
        traced = trace(supervision)
        for name, tensor in traced.tensors.items():
            limit = tensor.numel() if name.endswith(WHOLE) else SAMPLES
            tensors[f"{supervision}/{name}"] = drawn.sample(tensor, limit)
        runs[supervision] = {
            "shapes": {name: list(x.shape) for name, x in traced.tensors.items()},
            "segments": [
                {"id": s.id, "category": s.category, "score": s.score} for s in traced.segments
            ],
            "instances": {
                "scores": traced.scores.tolist(),
                "categories": traced.categories.tolist(),
            },
        }
    environment = {name: version(name) for name in LIBRARIES}
    environment |= {"python": platform.python_version(), "machine": platform.machine()}
    save_file(tensors, FOLDER / "recorded.safetensors")
    content = {"environment": environment, **runs}
    (FOLDER / "recorded.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    record()
