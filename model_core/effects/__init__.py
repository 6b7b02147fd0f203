"""What-if: the predictor asked again under masks that somebody has changed."""
