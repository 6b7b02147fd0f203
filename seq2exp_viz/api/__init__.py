"""The interface through which the page, and programs, ask for data."""

PREFIX = "api/v1"  # of every address of the interface, below the page's own; `data/` and `igv.js` lie beside it
