"""Data sets: the readers, the file formats that stages exchange, and what the stages write (not in git)."""
