"""Simulated studies with planted truth, in the formats of real data."""
