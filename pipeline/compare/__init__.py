"""Whether an engine is faster or slower than the one before it, and what is kept to say so."""
