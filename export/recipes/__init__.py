"""One folder per model: its data, its network and its recipe."""
