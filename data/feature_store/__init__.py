"""Hidden states on disk, in Parquet: written once by the MLLM's stage, read as often as one likes."""
