"""How fast an engine is, how that was measured, and how fast the original framework is beside it."""
