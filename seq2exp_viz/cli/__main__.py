"""`python -m seq2exp_viz.cli`."""

from seq2exp_viz.cli import main

main()
