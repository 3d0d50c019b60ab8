"""Whether an engine or a typed model still computes what the original does, and what counts as the same."""
