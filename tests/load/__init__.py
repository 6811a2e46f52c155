"""Load tests of the server and the handler: overload and long runs."""
