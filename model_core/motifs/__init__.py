"""Motifs in the contributions of single bases; no module yet."""
