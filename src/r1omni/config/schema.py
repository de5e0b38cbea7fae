"""What every schema shares: frozen, unknown keys rejected, each field documented by the string under it."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """Base of every configuration and of its sections."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    renamed: ClassVar[dict[str, str]] = {}
    """Earlier name of a key -> what it is called now, for the error that refuses it."""
