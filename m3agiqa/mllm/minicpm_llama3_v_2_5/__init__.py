"""MiniCPM-Llama3-V-2.5, the published system's language model with eyes, as a class of our own on transformers.

Its repository's own code runs on old versions of transformers only and must be trusted; this package reads the
repository's files, and the adapters trained on it, as they are. Importing it registers it with the Auto classes.
"""

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    TokenizersBackend,
)

from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig
from m3agiqa.mllm.minicpm_llama3_v_2_5.image_processing import MiniCPMVImageProcessor
from m3agiqa.mllm.minicpm_llama3_v_2_5.modeling import MiniCPMVForConditionalGeneration
from m3agiqa.mllm.minicpm_llama3_v_2_5.processing import MiniCPMVProcessor

AutoConfig.register(MiniCPMVConfig.model_type, MiniCPMVConfig)
AutoTokenizer.register(MiniCPMVConfig, TokenizersBackend)
AutoImageProcessor.register(MiniCPMVConfig, image_processor_classes={"pil": MiniCPMVImageProcessor})
AutoProcessor.register(MiniCPMVConfig, MiniCPMVProcessor)
AutoModelForImageTextToText.register(MiniCPMVConfig, MiniCPMVForConditionalGeneration)
