"""The two-way notebook widget; no module yet."""
