"""How the embedded models were made, each in a package of its name: `python -m finetune.pretrain.tiny`, `….small`."""
