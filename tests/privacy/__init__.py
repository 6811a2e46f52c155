"""Whether a client's data appears anywhere but in the response to it."""
