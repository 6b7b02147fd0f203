"""What a server holds of each run: gene models, search, element tables, the peak audit."""
