"""What-if: predictions under masks that were changed."""
