"""The DAG's stages, one module each: read settings, call the library that does the work, write the outs."""
