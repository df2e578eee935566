"""Training: the loop, what it minimises and how a run goes on where it stopped.

Start with `loop.py`. Knows the network, tensors and processes; does not know the command line.
"""
