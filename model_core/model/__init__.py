"""The network: sequence and signals to a mask, mask to expression; its checkpoints and its self-test."""
