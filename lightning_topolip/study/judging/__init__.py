"""From the table of results to verdicts, without torch and without figures."""
