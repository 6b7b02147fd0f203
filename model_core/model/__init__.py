"""The model: from sequence and signals to a mask and to expression; its checkpoints and its self-test."""
