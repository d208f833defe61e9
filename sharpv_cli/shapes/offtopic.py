"""Questions that no ShapesQA clip answers, so that the built-in model learns to say so."""

from __future__ import annotations

import random

UNKNOWN = "i don't know"

THINGS = """person man woman child boy girl dog cat bird horse cow sheep car truck bus bicycle train boat plane
house building tree flower road river mountain sea beach sky cloud sun moon table chair bed door window kitchen
phone computer screen keyboard book newspaper bottle cup plate knife fork pizza apple banana cake sandwich ball bat
racket guitar piano drum camera clock lamp bag hat shirt dress shoe jacket umbrella key sign flag bridge tower robot
teacher doctor driver player singer dancer baby crowd team audience animal fish snake spider elephant lion""".split()
_ACTIONS = """eating cooking dancing singing running walking sleeping reading writing driving swimming jumping talking
laughing crying playing working painting fishing cleaning shopping climbing fighting typing smiling waiting""".split()
_PLACES = """paris london tokyo france germany america africa china the kitchen the park the street the office the
garden school hospital the airport the station the stadium space the forest the desert the shop the museum""".split()
_TOPICS = """weather music sound language voice price temperature title author story name brand age score result
winner reason mood genre subtitle logo accent recipe plot ending date time year season speed weight""".split()
_SUBJECTS = """physics history mathematics love life football politics cooking gravity python money chess poetry
biology art philosophy the moon the universe democracy photosynthesis electricity inflation evolution""".split()

_TEMPLATES = (
    "Is there a {thing}?",
    "Do you see a {thing}?",
    "What color is the {thing}?",
    "What colour is the {thing}'s {thing2}?",
    "What shape is the {thing}?",
    "How many {thing}s are there?",
    "How many {thing}s can you see in the video?",
    "What is the {thing} doing?",
    "What does the {thing} do?",
    "What happens to the {thing}?",
    "Where is the {thing} at the end?",
    "Where is the {thing}?",
    "Which direction does the {thing} move?",
    "Who is the {thing}?",
    "Who is {action}?",
    "Why is the {thing} {action}?",
    "Is the {thing} {action}?",
    "What is the {thing} holding?",
    "What is on the {thing}?",
    "What is behind the {thing}?",
    "Which {thing} is bigger?",
    "Was this filmed in {place}?",
    "Where was this video filmed?",
    "What is the {topic}?",
    "What is the {topic} of the video?",
    "What {topic} is it?",
    "Can you hear the {topic}?",
    "What does the {thing} say?",
    "What is the name of the {thing}?",
    "How old is the {thing}?",
    "How long is the video?",
    "Who made this video?",
    "What is the capital of {place}?",
    "Who is the president of {place}?",
    "Explain {subject}.",
    "What is {subject}?",
    "Tell me about {subject}.",
    "Write a poem about {subject}.",
    "Tell me a joke about {subject}.",
    "Translate this to {subject}.",
    "What is {n} plus {n2}?",
    "How much is {n} times {n2}?",
    "Who won the {topic}?",
    "What is your name?",
    "Who are you?",
    "Hello, how are you?",
    "What time is it?",
    "What is the weather like in {place}?",
    "How do I get to {place}?",
    "Should I buy the {thing}?",
    "Is it raining?",
    "What are they talking about?",
    "What is the person wearing?",
    "Is the {thing} made of metal?",
    "How does the {thing} feel?",
    "What will happen next?",
    "What did the {thing} eat?",
    "Does the {thing} like {subject}?",
    "Which {topic} is shown on the {thing}?",
    "Summarize the {topic}.",
    "Recommend a {thing} for {action}.",
)


def offtopic_question(rng: random.Random) -> str:
    """Draw one: mostly a template filled with everyday words, sometimes a jumble of letters or words."""
    luck = rng.random()
    if luck < 0.04:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(rng.randint(3, 24)))
    if luck < 0.12:
        words = rng.choices(THINGS + _ACTIONS + _TOPICS + _SUBJECTS, k=rng.randint(1, 5))
        return " ".join(words) + "?"
    return rng.choice(_TEMPLATES).format(
        thing=rng.choice(THINGS),
        thing2=rng.choice(THINGS),
        action=rng.choice(_ACTIONS),
        place=rng.choice(_PLACES),
        topic=rng.choice(_TOPICS),
        subject=rng.choice(_SUBJECTS),
        n=rng.randint(2, 99),
        n2=rng.randint(2, 99),
    )
