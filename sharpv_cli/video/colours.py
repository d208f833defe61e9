"""What a frame says of its colours: how they become RGB, and what a viewer should know about it."""

from __future__ import annotations

from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

from sharpv_cli.video.tonemap import PEAK_NITS, Transfer

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED; PyAV's Colorspace names swscale's constants instead
_CONVERTED = {0, 1, 4, 5, 6, 7, 9}  # the matrices that swscale knows; with any other one it refuses the frame
# ISO 23091-2, MatrixCoefficients. Those of BT.2020 with constant luminance are near the ones without.
_NAMES = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from the primaries",
    13: "derived from the primaries, with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_BT2020: Colorspace | None = getattr(Colorspace, "BT2020", None)  # since PyAV 18
_NEAREST = {10: _BT2020}
_DERIVED = {12, 13}
_OF_PRIMARIES: dict[int, Colorspace | None] = {
    ColorPrimaries.BT709: Colorspace.ITU709,
    ColorPrimaries.BT2020: _BT2020,
}
_HDR: dict[int, Transfer] = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}


def hdr(frame: VideoFrame) -> Transfer | None:
    """The transfer function of HDR, where the frame has one."""
    return _HDR.get(frame.color_trc)


def matrix(frame: VideoFrame) -> Colorspace | None:
    """The matrix to take for the frame's; None for the one that it names itself."""
    if frame.format.is_rgb or frame.colorspace in _CONVERTED:
        return None
    if frame.colorspace in _DERIVED and (own := _OF_PRIMARIES.get(frame.color_primaries)):
        return own
    return _NEAREST.get(frame.colorspace) or assumed_colorspace(frame.width, frame.height)


def assumed_colorspace(width: int, height: int) -> Colorspace:
    """The matrix that players take for untagged video: BT.709 for HD, else BT.601 (the rule is mpv's)."""
    return Colorspace.ITU709 if width >= 1280 or height > 576 else Colorspace.ITU601


def colour_warnings(frame: VideoFrame) -> tuple[str, ...]:
    """What a viewer of this frame should know."""
    said = []
    if transfer := hdr(frame):
        said.append(
            f"the video is HDR ({transfer}): its pictures are tone-mapped to SDR, for a peak of "
            f"{PEAK_NITS:.0f} cd/m2"
        )
    if frame.interlaced_frame:
        said.append("the video is interlaced: each picture is made from one of its two fields")
    taken = matrix(frame)
    if taken is not None and frame.colorspace != _UNSPECIFIED:
        name = _NAMES.get(frame.colorspace, "unknown")
        said.append(
            f"the video's colour matrix ({frame.colorspace}: {name}) cannot be converted: {taken.name} is taken, "
            "and colours may be wrong"
        )
    return tuple(said)
