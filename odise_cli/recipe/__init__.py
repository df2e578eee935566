"""Recipes: everything that decides what a training run computes, as TOML.

`schema.py` says what a recipe holds, `files.py` finds, reads, changes and writes them.
"""
