"""Inputs read by byte ranges of a URL, and the cache of their blocks."""
