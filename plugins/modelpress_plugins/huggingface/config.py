"""The options of the input model `HfModel`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from modelpress.api import Options, Resource


class LoadKwargs(Options):
    """How the model is opened. Further keys are handed to transformers' `from_pretrained` as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, protected_namespaces=())

    torch_dtype: str | None = Field(
        default=None,
        description="float32, float16, bfloat16, auto (as stored). Unset: float32 on a CPU, else auto.",
    )
    device_map: str | dict[str, Any] | None = Field(
        default=None, description="Where the layers go, as accelerate takes it. Unset: all on one device."
    )
    quantization_method: str | None = Field(
        default=None, description="`bitsandbytes`: quantize the weights while they are opened."
    )
    quantization_config: dict[str, Any] | None = Field(
        default=None, description="Arguments of the quantization method, e.g. load_in_4bit."
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python files that lie in the model's folder. Used only for models that "
        "transformers cannot open by itself.",
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a model on the hub.")


class HfModelOptions(Options):
    """A transformers model for text generation."""

    model_path: Annotated[str, Resource(optional=True)] = Field(
        description="A folder, the id of a model on the hub (`org/name`), or a resource (`{type: …}`)."
    )
    task: str = Field(default="text-generation", description="What the model is for.")
    load_kwargs: LoadKwargs = Field(default_factory=LoadKwargs)
    adapter_path: Annotated[str | None, Resource(optional=True)] = Field(
        default=None, description="A PEFT adapter for the model: the input is then adapter and base."
    )
