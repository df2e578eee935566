"""Published weights: where they are, how they come here, whether they are whole.

Knows addresses, sizes, hashes and licences; opens no checkpoint and knows no tensor.
Read `published.py` (the table) first, then `download.py`, then `checksum.py`.
"""

from odise_cli.hub.checksum import FileCheck, file_sha256, hash_file, verify
from odise_cli.hub.download import OnProgress, pull
from odise_cli.hub.published import (
    BUNDLED_FOLDER,
    BUNDLED_MODEL,
    LICENCE_NOTICE,
    PUBLISHED_MODELS,
    FileState,
    PublishedFile,
    PublishedModel,
    WeightPaths,
    cache_folder,
    locate,
    presence,
    published_model,
    size_text,
    total_size_text,
)

__all__ = [
    "BUNDLED_FOLDER",
    "BUNDLED_MODEL",
    "LICENCE_NOTICE",
    "PUBLISHED_MODELS",
    "FileCheck",
    "FileState",
    "OnProgress",
    "PublishedFile",
    "PublishedModel",
    "WeightPaths",
    "cache_folder",
    "file_sha256",
    "hash_file",
    "locate",
    "presence",
    "published_model",
    "pull",
    "size_text",
    "total_size_text",
    "verify",
]
