"""One job, from its engine to a verdict."""
