"""Chat templates of all kinds: what they put before the video, behind it and on both sides, and what they make of it.

VIDEO stands for a family's placeholder, BOS for what its tokenizer begins with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

from tiny_families import RECIPES, loaded
from tokenizers.processors import TemplateProcessing

from sharpv_cli.models.loading import LoadedModel

_ASKED = (
    "{% set parts = (messages | last).content %}"
    "{% set asked = parts | selectattr('type', 'equalto', 'text') | map(attribute='text') | join %}"
)
_LAST = "{% if add_generation_prompt %}\nASSISTANT:{% endif %}"
_TEMPLATES = {
    "video first": "USER: VIDEO{{ asked }}",
    "question first": "USER: {{ asked }}\nVIDEO",
    "both sides": "USER: {{ asked }} VIDEO {{ asked }}?",
    "ends with the video": "{{ asked }}\nVIDEO{% set add_generation_prompt = false %}",
    "begins with the tokenizer's own": "BOS USER: VIDEO{{ asked }}",
    "its own, then the question": "BOS{{ asked }} VIDEO",
    "length of the question": "Of {{ asked | length }} letters: VIDEO{{ asked }}",
    "depends on the question": "{% if 'box' in asked %}Count. {% endif %}VIDEO{{ asked }}",
    "hint behind short questions": "VIDEO{{ asked }}{% if asked | length < 8 %} Be brief.{% endif %}",
    "date": "Today is {{ strftime_now('%d %B %Y') }}. VIDEO{{ asked }}",
    "trimmed and loud": "VIDEO{{ asked | trim | upper }}",
    "in braces": "{'q': {{ asked | tojson }}} VIDEO {% raw %}{{ }}{% endraw %}{{ asked.split(' ') | join('_') }}",
}
TEMPLATES = {name: f"{_ASKED}{text}{_LAST}" for name, text in _TEMPLATES.items()}
SHARED = [
    "video first",
    "begins with the tokenizer's own",
    "hint behind short questions",
    "date",
    "trimmed and loud",
]


def beginning(family: str) -> LoadedModel:
    """The tiny model with a processor of its own, whose tokenizer puts a token before every text."""
    model = loaded(family)
    processor = deepcopy(model.processor)
    first = RECIPES[family].pad
    processor.tokenizer.bos_token = first
    number = processor.tokenizer.convert_tokens_to_ids(first)
    processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A", special_tokens=[(first, number)]
    )
    return replace(model, processor=processor)


@contextmanager
def templated(model: LoadedModel, template: str) -> Iterator[LoadedModel]:
    """Its processor with another template, for a while; VIDEO and BOS are the model's own words in it."""
    processor, own = model.processor, model.processor.chat_template
    words = {"VIDEO": RECIPES[model.info.family].video, "BOS": processor.tokenizer.bos_token or ""}
    for name, word in words.items():
        template = template.replace(name, word)
    processor.chat_template = template
    try:
        yield model
    finally:
        processor.chat_template = own
