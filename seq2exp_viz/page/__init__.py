"""The page: layout, callbacks, tables, figures and texts."""
