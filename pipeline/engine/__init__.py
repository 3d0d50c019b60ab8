"""Runs engines on the GPU that they were built for. Everything here runs in child processes."""
