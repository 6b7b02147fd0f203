"""How good masks and predictions are, beside their rivals."""
