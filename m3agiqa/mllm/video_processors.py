"""Lets the processors of image-and-video models load where torchvision is not installed.

They ask for a video half, and without torchvision transformers neither registers one nor exports the class that they
check it against, though only decoding a film would need torchvision. No film is ever given to them here. Importing
this module does both for the models in params.yaml; where torchvision is there, nothing changes.
"""

from typing import Any

from transformers import MiniCPMV4_6Config, Qwen3VLConfig, processing_utils
from transformers.models.auto.video_processing_auto import AutoVideoProcessor
from transformers.models.minicpmv4_6.video_processing_minicpmv4_6 import MiniCPMV4_6VideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.video_processing_utils import VideoProcessorMixin

for config, processor in ((MiniCPMV4_6Config, MiniCPMV4_6VideoProcessor), (Qwen3VLConfig, Qwen3VLVideoProcessor)):
    AutoVideoProcessor.register(config, video_processor_classes={"torchvision": processor}, exist_ok=True)
exports: Any = processing_utils.transformers_module
exports.VideoProcessorMixin = VideoProcessorMixin
