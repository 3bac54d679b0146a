"""The commands of `m3agiqa`: one module each, `arguments(parser)` and `run(arguments)`."""
