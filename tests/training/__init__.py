# First of all: diffusers and open_clip cannot be imported before the guard has run.
import odise_cli.model  # noqa: F401
