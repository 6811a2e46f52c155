"""Wire conventions: adapters between what clients send and the tasks' requests. No model code."""
