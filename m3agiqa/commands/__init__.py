"""The commands of `m3agiqa`: one module each, `add_arguments(parser)` and `run(arguments)`."""
