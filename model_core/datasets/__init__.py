"""Data of others: presets of public files, downloads, the authors' data folder."""
