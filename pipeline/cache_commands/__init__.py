"""``cache ACTION``: listing, explaining, verifying and pruning what the cache holds."""
