"""Measured tracks, read per window: bigWig, BAM coverage, Hi-C contact."""
