"""What a server holds of each run: the run opened, its gene models, the search in it, its summaries."""
