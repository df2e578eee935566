"""A model leaves odise: its files, and the proof that they still give the same answer."""
