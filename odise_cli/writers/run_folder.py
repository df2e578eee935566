"""The output folder of a run: results go in, and survive whatever happens to the process.

Start reading here. `write` may be called from several threads; a result counts once its
manifest line is there. Knows files; does not know where results come from, nor does it print.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from odise_cli.errors import UsageError
from odise_cli.structures import Category, FailedImage, ImageRecord, ImageResult
from odise_cli.writers.atomic import (
    explained_errors,
    link_atomic,
    remove_output,
    temporary_path,
    write_atomic,
)
from odise_cli.writers.collect import collect
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.instances import instance_results
from odise_cli.writers.layout import (
    COLLECTED_FILES,
    JOURNAL,
    LOCK,
    MANIFEST,
    RUN_JSON,
    collected_files,
    image_file,
    image_files,
    top_level_names,
)
from odise_cli.writers.line_log import LineLog
from odise_cli.writers.lock import exclusive_lock
from odise_cli.writers.manifest import Row, Status, done_line, failed_line, json_line, load_rows
from odise_cli.writers.overlay import encode_overlay_jpeg
from odise_cli.writers.panoptic import encode_panoptic_png, panoptic_annotation
from odise_cli.writers.regions import panoptic_to_regions
from odise_cli.writers.run_json import RunJson, check_same_settings, read_run_json
from odise_cli.writers.segments import segment_lines
from odise_cli.writers.semantic import check_category_count, encode_semantic_png, semantic_labels
