"""Job arrays on a cluster; no module yet."""
