"""Texts and images as MiniCPM-Llama3-V-2.5 takes them together: Llama 3's chat format, views as runs of `<unk>`.

`<image>` and 96 × `<unk>` and `</image>` stand for the whole image; the same for each slice follows between `<slice>`
and `</slice>`, row by row. The model puts its image vectors where the `<unk>` are.
"""

from typing import Any, Self

from transformers import ProcessorMixin

from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig

PLACEHOLDER = "(<image>./</image>)"  # where an image goes, as in the published processor

# As the published tokenizer's template writes it, but for images, which stand on a line of their own, and for the
# assistant's header, which it adds whether asked or not.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% set parts = namespace(list=[]) %}{% for part in message['content'] %}"
    f"{{% set parts.list = parts.list + ['{PLACEHOLDER}' if part['type'] == 'image' else part['text']] %}}"
    "{% endfor %}{{ parts.list | join('\n') | trim }}{% endif %}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


class MiniCPMVProcessor(ProcessorMixin):
    """The tokenizer and the image processor of one repository."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        template = chat_template or CHAT_TEMPLATE
        super().__init__(image_processor, tokenizer, chat_template=template)  # type: ignore[no-untyped-call]
        self.image_token = PLACEHOLDER

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Self:
        """The processor of a repository.

        Raises:
            ValueError: it leaves room for another number of vectors a view than the repository's model makes.
        """
        processor = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        name, revision = pretrained_model_name_or_path, kwargs.get("revision")
        model: dict[str, Any] = MiniCPMVConfig.get_config_dict(name, revision=revision)[0]  # {}: saved without a model
        room = processor.image_processor.image_feature_size
        if room != model.get("query_num", room):
            raise ValueError(f"image_feature_size is {room}, and the model's query_num {model['query_num']}")
        return processor

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **_: Any) -> str:
        """What stands in the text for an image: its views."""
        view: str = "<image>" + "<unk>" * self.image_processor.image_feature_size + "</image>"
        columns, rows = image_inputs["grids"][image_idx].tolist()
        if not columns:
            return view
        return view + "<slice>" + "\n".join([view * columns] * rows) + "</slice>"

    @property
    def unused_input_names(self) -> list[str]:
        """What the text needs of the images, and the model does not."""
        return ["grids"]
