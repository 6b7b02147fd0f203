"""Scoring of genes into a run, on one process or several."""
