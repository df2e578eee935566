"""The tests; torchvision is repaired before any of them imports diffusers."""

import odise_cli.model  # noqa: F401
