"""A simulated study with planted truth, in the real formats."""
