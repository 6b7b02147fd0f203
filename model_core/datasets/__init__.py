"""Data of others: presets of public files, downloads, and the authors' data folder."""
