"""Scoring genes into a run, on one process or several."""
