"""Storage of models and checkpoints in files."""
