"""Pure functions from answers and gold labels to scores: rewards and evaluation share one grader."""
