"""LoRA distillation: the local MLLM learns to say what the teacher says."""
