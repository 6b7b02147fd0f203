"""The run folder: masks, elements, tracks and tables on disk (docs/run-folder.md)."""
