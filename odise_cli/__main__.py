"""`python -m odise_cli` is `odise`."""

from odise_cli.cli.app import entry_point

if __name__ == "__main__":
    entry_point()
