"""Training of a model: batches of windows, the Lightning module and pre-training."""
