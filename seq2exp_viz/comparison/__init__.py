"""What `compare` found, as figures and one page."""
