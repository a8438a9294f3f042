"""The fifteen corruptions of CIFAR-10-C."""
