"""The configuration of MiniCPM-Llama3-V-2.5 as its repository publishes it: Llama's fields, and the vision tower's."""

from typing import Any, ClassVar, cast

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig, PreTrainedConfig
from transformers.models.idefics2.configuration_idefics2 import Idefics2VisionConfig


@strict
class MiniCPMVConfig(LlamaConfig):
    """Llama 3's fields at the top level, `vision_config` below, and what joins the two.

    Raises:
        ValueError: the repository is another generation of MiniCPM-V, which has the same model type, or has settings
            that no published 2.5 has, and that mean another network.
    """

    model_type = "minicpmv"
    sub_configs: ClassVar = {"vision_config": Idefics2VisionConfig}

    vision_config: dict[str, Any] | PreTrainedConfig | None = None  # the second, once it is loaded: `vision`
    version: str | float = "2.5"
    query_num: int = 96  # vectors that the resampler makes of a view
    image_start_id: int = 128010  # <image>
    image_end_id: int = 128011  # </image>
    image_token_id: int = 128002  # <unk>, of which there are `query_num` between them
    end_of_turn_id: int = 128009  # <|eot_id|>; the published configuration ends generation at the end of text only
    drop_vision_last_layer: bool = False
    batch_vision_input: bool = True  # the views of an image go through the vision tower together, and padded

    def __post_init__(self, **kwargs: Any) -> None:
        if str(self.version) != "2.5":
            raise ValueError(f"MiniCPM-V {self.version}: only 2.5 is known here; others share its model type alone")
        for name in ("drop_vision_last_layer", "batch_vision_input"):
            if getattr(self, name) is not getattr(type(self), name):
                raise ValueError(f"{name} is {getattr(self, name)}: only the published {getattr(type(self), name)}")
        if not isinstance(self.vision_config, Idefics2VisionConfig):
            # The published one names the type of the whole Idefics2, whose vision tower it describes.
            fields = {key: value for key, value in (self.vision_config or {}).items() if key != "model_type"}
            self.vision_config = Idefics2VisionConfig(**fields)
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]  # transformers', without types
        ends = self.eos_token_id if isinstance(self.eos_token_id, list) else [self.eos_token_id]
        self.eos_token_id = sorted({end for end in (*ends, self.end_of_turn_id) if end is not None})

    @property
    def vision(self) -> Idefics2VisionConfig:
        """`vision_config`, which is one of these by now."""
        return cast("Idefics2VisionConfig", self.vision_config)
