"""Data sets: bringing, reading and splitting them, and the files that stages exchange."""
