"""The network: tensors in, tensors out.

Knows nothing of files (but `checkpoint.py`), devices, environment variables or vocabularies.
Importing this package repairs a torchvision that does not fit the installed torch, because
diffusers, transformers and open_clip import torchvision as soon as they find it.
"""

from odise_cli.model.torchvision_guard import repair_torchvision

repair_torchvision()
