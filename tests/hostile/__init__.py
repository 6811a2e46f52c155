"""Requests that a client should not send, by the ten thousand."""
