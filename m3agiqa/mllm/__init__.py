"""The local multimodal language model: any Hugging Face vision-language model behind one small interface."""
