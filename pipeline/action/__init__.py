"""The step as a runner starts it: inputs in the environment, and a workspace that belongs to somebody else."""
