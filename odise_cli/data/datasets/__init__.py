"""Datasets in the layouts in which their owners publish them, one file each.

`dataset.py` says what all of them are to the rest of the program: names of images, and a
function that reads the ground truth of one. Nothing is converted, copied or cached.
"""
