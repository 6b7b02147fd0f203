"""How good masks and predictions are, compared with their rivals."""
