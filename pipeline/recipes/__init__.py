"""How each artefact is made from the ones before it, and its key."""
