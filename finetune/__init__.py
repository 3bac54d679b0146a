"""What learns: the LoRA distillation, the heads on cached hidden states, the embedded model's pretraining."""
