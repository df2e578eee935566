"""Results become files that the field's own tools read; start reading at `run_folder.py`."""
