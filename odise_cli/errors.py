"""What can go wrong that a user can cause, and the exit code of each.

    OdiseError                      1   (never raised itself)
    ├── UsageError                  2   an option, a settings file, a vocabulary's text
    │   ├── SettingsChangedError    2   the output folder was made with other settings
    │   ├── TrainingError           2   settings or images with which a loss is no number
    │   └── ExportError             2   an exported model that answers differently
    ├── NoImagesError               4   the sources hold no image
    ├── MissingDataError            5   weights, vocabulary or data that are not there
    │   └── CheckpointError         5   weights that are there and cannot be used
    ├── TryAgainError              75   locked folder, full disk, out of memory at batch 1
    └── ImageError                  3   one image; a row in the report, not a stop

Messages read `<where>: <what was found>. <What is expected>. <What to do>.`
Exit codes 130 and 143 (Ctrl-C, SIGTERM) are no errors and live in `cli/app.py`.
"""

from typing import ClassVar


class OdiseError(Exception):
    """Something a user can cause and mend; `exit_code` is the process's exit status."""

    exit_code: ClassVar[int] = 1


class UsageError(OdiseError):
    """An option, a settings file or a vocabulary that cannot mean anything."""

    exit_code = 2


class SettingsChangedError(UsageError):
    """The output folder holds results made with other settings."""


class TrainingError(UsageError):
    """A training step whose loss or gradient is not finite: settings or images are at fault."""


class ExportError(UsageError):
    """A model that, in the format or precision that was asked for, gives other answers."""


class NoImagesError(OdiseError):
    """The sources were read and hold no image."""

    exit_code = 4


class MissingDataError(OdiseError):
    """Weights, a vocabulary or data that should be there and are not."""

    exit_code = 5


class CheckpointError(MissingDataError):
    """Weights that are there and cannot be used: truncated, misshapen, not tensors."""


class TryAgainError(OdiseError):
    """Nothing is wrong with the request; the machine could not serve it now."""

    exit_code = 75


class ImageError(OdiseError):
    """One image that cannot be read; becomes a failure row, exit code 3 at the end."""

    exit_code = 3
