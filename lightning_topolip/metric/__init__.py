"""The smoothness of a whole epoch, as a metric of torchmetrics."""
