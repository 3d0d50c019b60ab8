"""Where engines go next: a model repository for Triton, an archive for anything else."""
