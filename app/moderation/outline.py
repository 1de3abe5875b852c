"""What decoding tells of a picture besides its pixels: small enough to be kept, and enough to decide by where nothing
has to be asked any more."""

from typing import Self

from pydantic import ConfigDict, TypeAdapter

from app.domain import Backdrop, Frame, Image, ImageFacts, Picture
from app.domain.value import Value


class FrameOutline(Value):
    """A `Frame`; `width` and `height` are its picture's."""

    index: int
    source_frame: int
    backdrop: Backdrop
    scale: float
    width: int
    height: int


class Outline(Value):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    facts: ImageFacts
    media_type: str
    frames: tuple[FrameOutline, ...]
    preview: bytes

    @classmethod
    def of(cls, image: Image) -> Self:
        frames = tuple(
            FrameOutline(
                index=one.index,
                source_frame=one.source_frame,
                backdrop=one.backdrop,
                scale=one.scale,
                width=one.picture.width,
                height=one.picture.height,
            )
            for one in image.frames
        )
        return cls(facts=image.facts, media_type=image.media_type, frames=frames, preview=image.preview)

    @property
    def image(self) -> Image:
        """Without pixels: an engine or a reader that it is given to all the same has nothing to answer from."""
        frames = tuple(
            Frame(one.index, one.source_frame, one.backdrop, one.scale, Picture(one.width, one.height, b""))
            for one in self.frames
        )
        return Image(self.facts, self.media_type, frames, self.preview)


OUTLINE: TypeAdapter[Outline] = TypeAdapter(Outline)
