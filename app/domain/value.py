"""What every stored or published value is built on."""

import secrets
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value: changed only by making a new one (`model_copy(update=…)`). What a validation error says may end
    in a log, so it does not quote its input."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    _every_field: ClassVar[set[str]] = set()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls._every_field = set(cls.model_fields)

    @classmethod
    def unchecked(cls, fields: dict[str, Any]) -> Self:
        """A value of parts that are sound already: every field must be given, and be what it would be after checking.
        Four times as fast as the constructor, and for nothing that comes from outside."""
        if len(fields) != len(cls._every_field):
            raise TypeError(f"{cls.__name__} has {len(cls._every_field)} fields, and {len(fields)} are given")
        made = object.__new__(cls)
        _set_dict(made, fields)
        _set_given(made, cls._every_field)
        _set_extra(made, None)
        _set_private(made, None)
        return made


# What `model_construct` and `model_copy` set too, by the shortest way.
_set_dict, _set_given, _set_extra, _set_private = (
    vars(BaseModel)[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def new_id(prefix: str) -> str:
    """A random identifier such as `dec_4f…`: 96 random bits, so that one id says nothing about another."""
    return f"{prefix}_{secrets.token_hex(12)}"
