"""How the benchmark and the training phrase their questions; the held-out ones are in `wordings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Wordings = Mapping[str, Sequence[str]]
"""Phrasings by type of question; {object}, {shape} or {colour} stands for what is asked about."""

WORDINGS: Wordings = {
    "colour": (
        "What color is the {shape}?",
        "What colour is the {shape}?",
        "Which color does the {shape} have?",
        "What is the color of the {shape}?",
        "Tell me the colour of the {shape}.",
        "The {shape} is what color?",
    ),
    "shape": (
        "What shape is the {colour} object?",
        "Which shape is {colour}?",
        "What is the {colour} thing?",
        "What is the shape of the {colour} object?",
        "What form does the {colour} object have?",
        "The {colour} object is what shape?",
    ),
    "count": (
        "How many objects are there in the video?",
        "How many objects are there?",
        "How many shapes can you see?",
        "Count the objects.",
        "What is the number of objects?",
        "How many things are in this clip?",
    ),
    "direction": (
        "Which direction does the {object} move?",
        "In which direction does the {object} move?",
        "Where does the {object} go?",
        "Which way does the {object} move?",
        "In what direction is the {object} moving?",
        "Which way is the {object} going?",
    ),
    "moves": (
        "Does the {object} move?",
        "Is the {object} moving?",
        "Does the {object} change its place?",
        "Is the {object} in motion?",
    ),
    "exists": (
        "Is there a {object}?",
        "Do you see a {object}?",
        "Can you see a {object}?",
        "Does the video show a {object}?",
        "Is a {object} in the video?",
        "Is there any {object}?",
    ),
    "event": (
        "What happens to the {object}?",
        "What does the {object} do?",
        "What is the {object} doing?",
        "What becomes of the {object}?",
        "Describe what the {object} does.",
    ),
    "place": (
        "Where is the {object} at the end?",
        "Where does the {object} end up?",
        "In which corner is the {object} at the end?",
        "Where is the {object} when the video ends?",
        "In which part of the frame is the {object} at the end?",
    ),
    "order_first": (
        "Which object appears first?",
        "Which object shows up first?",
        "What appears first?",
        "Which shape appears first?",
        "Which object comes into view first?",
    ),
    "order_last": (
        "Which object appears last?",
        "Which object shows up last?",
        "What appears last?",
        "Which shape appears last?",
        "Which object comes into view last?",
    ),
    "which": (
        "Which object moves?",
        "What moves?",
        "Which shape moves?",
        "Which object is moving?",
        "What is moving?",
    ),
    "describe": (
        "Describe the video.",
        "Describe this video.",
        "What happens in the video?",
        "What is shown in the video?",
        "Describe the clip.",
        "What do you see?",
    ),
}
