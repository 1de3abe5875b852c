"""What intake accepts, and how large the pictures are that signals look at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Bounds of one upload.

    Refused beyond: `max_bytes`, `max_side_px`, `max_frame_pixels` (width × height), and for animations
    `max_animation_frames` and `max_animation_pixels` (all frames together: most animations must be decoded from the
    first frame to the last, whichever are sampled). `timeout_s` bounds the whole of decoding.

    Sampled down to: `max_frames` frames are looked at, and their canvases add up to at most `max_total_pixels`.

    Scaled down to: a frame's shorter side is at most `work_side_px`, its area at most `work_frame_pixels`, and all
    frames' areas together at most `work_total_pixels` (twice that when an animation is transparent). The longer side
    has no bound of its own: a chat screenshot of 1080×10000 keeps its text readable.
    """

    max_bytes: int = 20 << 20
    max_side_px: int = 16_384
    max_frame_pixels: int = 40_000_000
    max_frames: int = 16
    max_total_pixels: int = 120_000_000
    max_animation_frames: int = 10_000
    max_animation_pixels: int = 300_000_000
    timeout_s: float = 10.0
    work_side_px: int = 1280
    work_frame_pixels: int = 6_000_000
    work_total_pixels: int = 12_000_000
