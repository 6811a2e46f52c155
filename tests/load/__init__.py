"""How the server and the handler bear load: more than they can do, and for long."""
