"""Images with masks, categories and captions for training; all numpy, nothing kept decoded.

`samples.py` says what a training dataset is to the rest of the program; `coco.py` reads one from
files (`captions.py` its sentences). `stream.py` says which sample comes next, `loading.py` reads
it ahead in threads, with `augment.py` for the picture and `nouns.py` for the words.
"""
