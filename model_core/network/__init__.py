"""The model and what it is used for: mask, blocks, training, scoring."""
