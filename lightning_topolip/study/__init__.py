"""Comparisons of models over seeds and data sets: trained, measured, judged."""
