"""What other tools take a judge by: one module a tool, none of which imports that tool; nothing else here uses them."""
