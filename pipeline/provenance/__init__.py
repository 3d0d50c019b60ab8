"""Where an engine comes from: an in-toto statement for each, and whether a file still is what it says."""
