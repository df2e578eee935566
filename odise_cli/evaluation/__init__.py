"""Figures from labels: accumulators that take an image at a time and can be merged.

Each has `update` (one image), `merge` (the images of another) and `compute` (figures by
category). They know maps, masks and category indices; they do not know files, datasets,
category names or where labels come from.
"""
