"""Building engines: what is asked and answered, the backends that do it, and what a plan says about itself."""
