"""The interface through which the page, and programs, ask for data."""
