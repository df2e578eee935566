"""The paper's ablations in miniature; see docs/training.md."""
