"""The DAG's stages, one module each: read settings, call the library that does the work, write the outs."""

import gc
import sys

# In what a stage imports the garbage collector finds nothing, and looks for it during a fifth of the start.
if sys.argv[0] == "-m":  # as long as Python looks for the module that it is to run
    gc.disable()  # until pipeline.stage
