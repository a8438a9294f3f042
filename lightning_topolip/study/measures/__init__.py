"""The quantities that a study measures of a trained network, one file per quantity."""
