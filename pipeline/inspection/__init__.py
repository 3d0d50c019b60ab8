"""What an engine is made of: its layers, their precisions and times, and how two engines differ."""
