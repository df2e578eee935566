"""Images with masks, categories and captions for training; all numpy, nothing kept decoded.

`samples.py` says what a training dataset is to the rest of the program; `nouns.py` finds the words
that a caption teaches.
"""
