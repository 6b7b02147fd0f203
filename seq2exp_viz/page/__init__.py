"""The page: layout, callbacks, and the interface through which the browser asks for data."""
