"""From the table of results to verdicts; neither torch nor a plot."""
