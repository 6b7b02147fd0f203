"""Measured tracks, read per window: bigWig, BAM coverage and Hi-C contact."""
