"""The commands that an ablation consists of, shown as they are run."""

import shlex
import sys

from odise_cli.cli.app import main


def odise(*words: str) -> None:
    """Run `odise` with these words; whatever stops it stops the ablation with its exit code."""
    print(shlex.join(["odise", *words]), file=sys.stderr)
    if code := main([*words]):
        sys.exit(code)
