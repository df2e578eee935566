"""Images with masks, categories and captions for training; all numpy, nothing kept decoded.

`samples.py` says what a training dataset is to the rest of the program. `coco.py` reads one from
files (`captions.py` its sentences); `nouns.py` finds the words that a caption teaches.
"""
