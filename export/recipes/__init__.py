"""One folder a model: its data, its network and its recipe."""
