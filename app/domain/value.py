"""What every stored or published value is built on."""

import secrets

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value: changed only by making a new one (`model_copy(update=…)`). What a validation error says may end
    in a log, so it does not quote its input."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def new_id(prefix: str) -> str:
    """A random identifier such as `dec_4f…`: 96 random bits, so that one id says nothing about another."""
    return f"{prefix}_{secrets.token_hex(12)}"
