"""The HTTP interface of the page, which programs can use as well."""

PREFIX = "api/v1"  # prefix of every address of the interface, below the page's own; `data/` and `igv.js` are next to it
