"""Let a CUDA build of torchvision be imported beside a CPU build of torch.

A package index may hold torchvision for CUDA only. Its extension library then fails to load,
and `import torchvision` dies in registering a fake kernel for an operator that does not exist.
Defining the two operators' schemas beforehand is all that the import needs. The operators
themselves stay without a kernel: nothing here uses them, nor torchvision's image codecs.
Knows nothing of what is done with torchvision afterwards.
"""

import importlib.util
import sys
from pathlib import Path

import torch

_SCHEMAS = ("nms", "qnms")
_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def repair_torchvision() -> bool:
    """Define torchvision's operator schemas if its extension library cannot be loaded.

    Does nothing on a healthy installation, without torchvision, or after it was imported.

    Returns:
        Whether the schemas had to be defined.
    """
    if "torchvision" in sys.modules:
        return False
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _extension_loads(Path(spec.origin).parent):
        return False
    for name in _SCHEMAS:
        torch.library.define(f"torchvision::{name}", _ARGUMENTS)
    return True


def _extension_loads(package: Path) -> bool:
    """Whether torchvision's own library loads into this torch."""
    libraries = [path for pattern in ("_C*.so", "_C*.pyd") for path in package.glob(pattern)]
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return bool(libraries)
