"""Native work in processes of its own: what runs there, how it is started, watched and ended."""
