"""A Python client of the HTTP interface; no module yet."""
