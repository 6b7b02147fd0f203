"""Figures, reports and exported files."""
