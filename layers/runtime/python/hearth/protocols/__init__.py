"""Wire protocols: adapters between clients' requests and the tasks' requests. No model code."""
