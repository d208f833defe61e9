"""From HDR to the SDR pictures that vision towers were trained on: BT.2100 (PQ, HLG) to BT.709.

FFmpeg's own filters for it (zscale, libplacebo) are not in PyAV's wheels.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Transfer = Literal["PQ", "HLG"]
Floats = NDArray[np.float32]

PEAK_NITS = 1000.0  # of the display that the video was graded for, where PQ does not say; HLG's nominal peak
WHITE_NITS = 203.0  # HDR reference white, ITU-R BT.2408-7, table 1: becomes SDR's white before the knee

# Linear BT.2020 to linear BT.709, ITU-R BT.2407-0, section 2 (the inverse of BT.2087-0's matrix).
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # BT.2100-2, table 4
_CODES = 65536

# ST 2084 / BT.2100-2, table 4
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def to_sdr(image: NDArray[np.uint16], transfer: Transfer) -> NDArray[np.uint8]:
    """Full-range R'G'B' of BT.2020, uint16 [H, W, 3], as 8-bit BT.709 pictures of the same size.

    Tones are mapped by the largest of the three components, so that hues stay and nothing clips but what lies
    outside of BT.709's colours. The result is display-referred: BT.1886, gamma 2.4.
    """
    nits = _display_light(transfer)[image]
    if transfer == "HLG":  # BT.2100-2, table 5: the OOTF, gamma 1.2 at 1000 cd/m2
        luminance = nits @ _LUMA / np.float32(PEAK_NITS)
        nits *= np.power(luminance, np.float32(0.2))[..., None]
    brightest = nits.max(-1)
    given, mapped = _tone_curve()
    gain = np.interp(brightest, given, mapped) / np.maximum(brightest, 1e-6) / WHITE_NITS
    linear = (nits * gain[..., None].astype(np.float32)) @ _TO_BT709.T
    levels = (np.clip(linear, 0, 1) * (_CODES - 1)).astype(np.uint16)
    codes: NDArray[np.uint8] = _gamma()[levels]
    return codes


@cache
def _display_light(transfer: Transfer) -> Floats:
    """cd/m2 by 16-bit code; for HLG before the OOTF."""
    signal = np.arange(_CODES) / (_CODES - 1)
    light = _pq_to_nits(signal) if transfer == "PQ" else _hlg_to_scene(signal) * PEAK_NITS
    return light.astype(np.float32)


@cache
def _tone_curve() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """cd/m2 and what becomes of them: the EETF of BT.2390-11, section 5.4.1, to a display of WHITE_NITS."""
    signal = np.linspace(0, 1, 1024)
    peak, white = _nits_to_pq(np.array([PEAK_NITS, WHITE_NITS]))
    highest = white / peak
    knee = 1.5 * highest - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * highest
    )
    mapped = np.where(signal < knee, signal, spline)
    return _pq_to_nits(signal * peak), _pq_to_nits(mapped * peak)


@cache
def _gamma() -> NDArray[np.uint8]:
    """8-bit code by linear light in 16 bits: the inverse of BT.1886."""
    linear = np.arange(_CODES) / (_CODES - 1)
    return np.round(255 * linear ** (1 / 2.4)).astype(np.uint8)


def _pq_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    power = signal ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _nits_to_pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (nits / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _hlg_to_scene(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse OETF of BT.2100-2, table 5, to 0..1."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
