"""A study: what study.toml names, how it is read, and everything that can be wrong with it."""
