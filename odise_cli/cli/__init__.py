"""What the user types and reads: options in, words and exit codes out; no tensors."""
