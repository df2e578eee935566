"""The synthetic world: drawn scenes with panoptic ground truth and captions.

The bundled tiny model has learned nothing else. Everything follows from a seed; nothing is read
from disk. `scenes.py` decides what is where, `render.py` draws it, `captions.py` talks about it.
"""
