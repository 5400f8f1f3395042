"""Chat templates that may be asked for by name. Light."""

from collections.abc import Mapping
from typing import Literal

ChatName = Literal["chatml"]
NAMED_TEMPLATES: Mapping[str, str] = {
    "chatml": "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
}
"""Templates that may be asked for by name."""
