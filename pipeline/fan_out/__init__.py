"""Spreading a run over the runners of a CI system: what is cached is settled here, the rest is handed out."""
