"""What learns: the LoRA distillation, the heads on cached hidden states, and how they are measured."""
