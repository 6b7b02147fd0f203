"""What comes from the authors' release or from public portals: checkpoints, data folder, presets."""
