"""The stages on MiniCPM-Llama3-V-2.5 in full size: `python -m benchmarks.full_size features`, `describe` or `lora`."""
