"""Studies: what study.toml names, how it is read, and how it is checked."""
