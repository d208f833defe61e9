"""Digits and capital letters, 5 x 7 points each, so that what is written in a clip is the same on every machine."""

from __future__ import annotations

import torch

ROWS, COLUMNS = 7, 5
PITCH = COLUMNS + 1  # from letter to letter
# Rows from the top, five bits each, the left one highest: the font of character displays (HD44780).
_FONT = {
    letter: tuple(int(row, 16) for row in rows.split())
    for letter, rows in (
        line.split(maxsplit=1)
        for line in """
0 0E 11 13 15 19 11 0E
1 04 0C 04 04 04 04 0E
2 0E 11 01 02 04 08 1F
3 1F 02 04 02 01 11 0E
4 02 06 0A 12 1F 02 02
5 1F 10 1E 01 01 11 0E
6 06 08 10 1E 11 11 0E
7 1F 01 02 04 08 08 08
8 0E 11 11 0E 11 11 0E
9 0E 11 11 0F 01 02 0C
A 0E 11 11 11 1F 11 11
B 1E 11 11 1E 11 11 1E
C 0E 11 10 10 10 11 0E
D 1C 12 11 11 11 12 1C
E 1F 10 10 1E 10 10 1F
F 1F 10 10 1E 10 10 10
G 0E 11 10 17 11 11 0F
H 11 11 11 1F 11 11 11
I 0E 04 04 04 04 04 0E
J 07 02 02 02 02 12 0C
K 11 12 14 18 14 12 11
L 10 10 10 10 10 10 1F
M 11 1B 15 15 11 11 11
N 11 11 19 15 13 11 11
O 0E 11 11 11 11 11 0E
P 1E 11 11 1E 10 10 10
Q 0E 11 11 11 15 12 0D
R 1E 11 11 1E 14 12 11
S 0F 10 10 0E 01 01 1E
T 1F 04 04 04 04 04 04
U 11 11 11 11 11 11 0E
V 11 11 11 11 11 0A 04
W 11 11 11 15 15 15 0A
X 11 11 0A 04 0A 11 11
Y 11 11 11 0A 04 04 04
Z 1F 01 02 04 08 10 1F
""".strip().splitlines()
    )
}


LETTERS = tuple(_FONT)


def mask_of(text: str) -> torch.Tensor:
    """The points of `text`, float32 [7, 6 n - 1] of 0 and 1; capital letters and digits only."""
    glyphs = [_glyph(letter) for letter in text]
    return torch.cat(glyphs, dim=1)[:, :-1]


def _glyph(letter: str) -> torch.Tensor:
    bits = [[row >> (COLUMNS - 1 - place) & 1 for place in range(COLUMNS)] for row in _FONT[letter]]
    return torch.nn.functional.pad(torch.tensor(bits, dtype=torch.float32), (0, 1))
