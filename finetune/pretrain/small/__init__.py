"""How the embedded model `small` was made."""
