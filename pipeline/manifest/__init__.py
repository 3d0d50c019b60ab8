"""The manifest, from bounded YAML to frozen values; every fault is told with its line."""
