"""The run folder: masks, elements, tracks, tables."""
