"""Compose `data/emotions.json`: phrases, each with the tone that it is written in.

Every phrase is a frame from `vocabulary.toml` with its slots filled. A phrase that shares too
many words with an earlier one is thrown away, so that any part of the file can be held out
without its near-copies staying in the rest.

    python make_data.py            # write the file, print its statistics
    python make_data.py --check    # exit 1 if the file is not what this script would write
"""

import argparse
import json
import random
import re
import statistics
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
VOCABULARY = HERE / "vocabulary.toml"
DATA = HERE / "data" / "emotions.json"
TONES = ("sad", "joy", "fear", "surprise")
PHRASES_PER_TONE = 375
MOST_SHARED = 0.6
"""Two phrases have a Jaccard similarity of their words below this."""
SEED = 0

Lists = dict[str, list[str]]
"""A table of the vocabulary file."""


@dataclass
class Deck:
    """Deals its cards in random order and starts again when it is empty, so that all get used."""

    cards: list[str]
    dice: random.Random
    left: list[str] = field(default_factory=list)

    def deal(self) -> str:
        if not self.left:
            self.left = self.dice.sample(self.cards, len(self.cards))
        return self.left.pop()


@dataclass(frozen=True)
class Row:
    phrase: str
    tone: str


def main() -> int:
    parser = argparse.ArgumentParser(description="Compose data/emotions.json.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    rows = compose()
    text = as_json(rows)
    if options.check:
        same = DATA.is_file() and DATA.read_text(encoding="utf-8") == text
        print(f"{DATA.name} is {'up to date' if same else 'not what make_data.py writes: run it'}")
        return 0 if same else 1
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text(text, encoding="utf-8", newline="\n")
    describe(rows)
    return 0


def compose() -> list[Row]:
    """All rows, tones mixed."""
    vocabulary: dict[str, Lists] = tomllib.loads(VOCABULARY.read_text(encoding="utf-8"))
    dice = random.Random(SEED)
    decks = {tone: tone_decks(vocabulary, tone, dice) for tone in TONES}
    tones = list(TONES) * PHRASES_PER_TONE
    dice.shuffle(tones)
    rows: list[Row] = []
    seen: list[set[str]] = []
    for tone in tones:
        phrase = new_phrase(decks[tone], vocabulary["people"], dice, seen)
        rows.append(Row(phrase, tone))
    return rows


def tone_decks(vocabulary: dict[str, Lists], tone: str, dice: random.Random) -> dict[str, Deck]:
    """One deck for each slot: a slot has the name of its list, less the plural's s."""
    lists = vocabulary["shared"] | vocabulary[tone]
    return {name.removesuffix("s"): Deck(cards, dice) for name, cards in lists.items()}


def new_phrase(decks: dict[str, Deck], people: Lists, dice: random.Random, seen: list[set[str]]) -> str:
    """The first phrase dealt that is unlike all the ones before it. Its words are added to `seen`."""
    while True:
        phrase = fill(decks, people, dice)
        found = words(phrase)
        if all(jaccard(found, old) < MOST_SHARED for old in seen):
            seen.append(found)
            return phrase


def fill(decks: dict[str, Deck], people: Lists, dice: random.Random) -> str:
    """Deal a frame, then replace slots until none is left: what fills a slot may have its own."""
    phrase = decks["frame"].deal()
    cast = casting(people, dice, first_person="{person}" not in phrase)
    while slot := re.search(r"{(\w+)}", phrase):
        value = cast.get(slot[1]) or decks[slot[1]].deal()
        phrase = phrase[: slot.start()] + value + phrase[slot.end() :]
    return re.sub(r"^\W*\w", lambda first: first[0].upper(), phrase)


def casting(people: Lists, dice: random.Random, first_person: bool) -> dict[str, str]:
    """Choose the subject and the other person of one phrase, with their pronouns.

    `first_person`: the subject may be "I", and is, half of the time.
    """
    everyone = [(name, pronoun) for pronoun, names in people.items() for name in names]
    (subject, pronoun), (other, other_pronoun) = dice.sample(everyone, 2)
    possessive = {"she": "her", "he": "his", "I": "my"}
    reflexive = {"she": "herself", "he": "himself", "I": "myself"}
    if first_person and dice.random() < 0.5:
        subject, pronoun = "I", "I"
    return {
        "subject": subject,
        "person": subject,
        "they": pronoun,
        "my": possessive[pronoun],
        "myself": reflexive[pronoun],
        "other": other,
        "their": possessive[other_pronoun],
    }


def words(phrase: str) -> set[str]:
    return set(re.findall(r"[\w']+", phrase.lower()))


def jaccard(one: set[str], two: set[str]) -> float:
    """Shared words over all words: 0 for nothing in common, 1 for the same set."""
    return len(one & two) / len(one | two)


def as_json(rows: list[Row]) -> str:
    """A JSON list with one row on each line, so that a change shows as a line."""
    lines = [json.dumps({"phrase": row.phrase, "tone": row.tone}, ensure_ascii=False) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def describe(rows: list[Row]) -> None:
    """Print counts, and how near a random 30 % of the phrases come to the other 70 %."""
    mixed = random.Random(SEED).sample(rows, len(rows))
    cut = len(mixed) * 3 // 10
    train = [words(row.phrase) for row in mixed[cut:]]
    held_out = [words(row.phrase) for row in mixed[:cut]]
    nearest = [max(jaccard(one, other) for other in train) for one in held_out]
    lengths = [len(row.phrase.split()) for row in rows]
    vocabulary = set[str]().union(*(words(row.phrase) for row in rows))
    print(f"{len(rows)} rows, {len({row.phrase for row in rows})} distinct phrases")
    print(f"tones: {dict(Counter(row.tone for row in rows))}")
    print(f"words: {len(vocabulary)} distinct; {min(lengths)} to {max(lengths)} a phrase")
    print(
        f"nearest training phrase of a held-out one, Jaccard: median {statistics.median(nearest):.2f}, "
        f"95 % {statistics.quantiles(nearest, n=20)[-1]:.2f}, most {max(nearest):.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
