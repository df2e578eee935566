"""Training: the loop, what it minimises and how a run goes on where it stopped.

Start with `loop.py`; `objective.py` is the model with its losses: canvases and targets in,
losses out. Knows the network, tensors and processes; does not know the command line.
"""

# Its guard has to run before the first import of transformers.
import odise_cli.model  # noqa: F401
