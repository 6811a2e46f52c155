"""The documents: their commands are run, their tables and links compared with what they speak of."""
