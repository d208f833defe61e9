"""Loading checkpoints, and what is particular to each model family."""
