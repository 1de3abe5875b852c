"""What every stored or published value is built on."""

import secrets

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value: changed only by making a new one (`model_copy(update=…)`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def new_id(prefix: str) -> str:
    """A random identifier such as `dec_4f…`: 96 random bits, so that one id says nothing about another."""
    return f"{prefix}_{secrets.token_hex(12)}"
