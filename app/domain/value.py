"""What every stored or published value is built on."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict

V = TypeVar("V", bound=BaseModel)


class Value(BaseModel):
    """A frozen value: changed only by making a new one (`model_copy(update=…)`). What a validation error says may end
    in a log, so it does not quote its input."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.unchecked = _maker(cls)  # type: ignore[method-assign, assignment]

    @classmethod
    def unchecked(cls, fields: dict[str, Any]) -> Self:
        """A value of parts that are sound already: every field must be given, and be what it would be after checking.
        Four times as fast as the constructor, and for nothing that comes from outside."""
        return _maker(cls)(fields)


# What `model_construct` and `model_copy` set too, by the shortest way.
_set_dict, _set_given, _set_extra, _set_private = (
    vars(BaseModel)[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def _maker(model: type[V]) -> Callable[[dict[str, Any]], V]:
    """`unchecked` of one class: to ask the class for what is the same for all of its values takes as long as making
    one."""
    every, new = set(model.model_fields), partial(object.__new__, model)
    number = len(every)

    def unchecked(fields: dict[str, Any]) -> V:
        if len(fields) != number:
            raise TypeError(f"{model.__name__} has {number} fields, and {len(fields)} are given")
        made = new()
        _set_dict(made, fields)
        _set_given(made, every)
        _set_extra(made, None)
        _set_private(made, None)
        return made

    return unchecked


def new_id(prefix: str) -> str:
    """A random identifier such as `dec_4f…`: 96 random bits, so that one id says nothing about another."""
    return f"{prefix}_{secrets.token_hex(12)}"
