"""From a command line to what its command does."""
