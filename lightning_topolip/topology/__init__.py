"""From distance matrices to a report; numpy alone, so that a worker process loads nothing else."""
