"""Whether anything that a client says is seen anywhere but in the answer to it."""
