"""What is taken away from a run: figures for papers and a report that opens offline."""
