"""Files designed to break decoders, and what they cost: `python -m tests.hostile.bombs`."""
