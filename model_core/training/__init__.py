"""Training: batches of windows, the Lightning module, pre-training."""
