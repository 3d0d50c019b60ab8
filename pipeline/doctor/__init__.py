"""``doctor``: what this machine can build, and what is missing."""
