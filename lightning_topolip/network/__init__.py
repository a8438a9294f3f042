"""From a model and a probe to one distance matrix per layer; everything here knows torch."""
