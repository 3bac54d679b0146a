"""The stages on MiniCPM-Llama3-V-2.5 in full size: `python -m benchmarks.full_size` with features, describe, predict,
lora or lora_twice, and `uneven` for images and texts of many lengths.

Without a GPU the same runs in seconds on a model of a few thousand weights, which shows that it works and no more.
"""
