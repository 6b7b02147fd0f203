"""Predictions under edited masks: what-if, knock-out of elements, occlusion."""
