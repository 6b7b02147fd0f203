"""What a study names, and how it is read: genome, signals, genes, peaks, windows."""
