"""Plan a workflow, run its steps, keep what they made."""
