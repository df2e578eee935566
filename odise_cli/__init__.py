"""Open-vocabulary segmentation of folders of photographs; start reading at `model/odise.py`."""

__version__ = "0.1.0"
