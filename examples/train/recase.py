# SPDX-License-Identifier: Apache-2.0
"""Makes one clean text of a cased and a lower-cased file of TinyStories.

python3 recase.py --cased CASED --lower LOWER [--valid VALID] --out FOLDER

CASED has documents that end with <|endoftext|>; LOWER has documents a paragraph each, where a
single line end begins the next one. What the cased file has already is left out of LOWER, the rest
gets its capitals back: at beginnings of sentences, behind opening quotes, for "I", and for names,
which are words that the cased file mostly writes with a capital in the middle of sentences.

Writes to FOLDER: train.txt, and held-out.txt, whose stories occur nowhere in train.txt.
"""
import argparse
import collections
import hashlib
import pathlib
import re

END = "<|endoftext|>"
QUOTES = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "``": '"', "''": '"',
          "\u2013": "-", "\u2014": "-", "\u2026": "...", "\u00a0": " ", "\ufeff": ""}
OPENERS = re.compile(r"^(once|one|there|it|in|on|the|a|an|lily|tim|tom|two|long|at|sara|ben|anna)\b",
                     re.I)


def clean(story):
    """Plain quotes and spaces, one line end between paragraphs."""
    for old, new in QUOTES.items():
        story = story.replace(old, new)
    story = story.encode("ascii", "ignore").decode()
    lines = (re.sub(r"\s+", " ", line).strip() for line in story.splitlines())
    return "\n".join(line for line in lines if line)


def key(story):
    """The same for two copies of a story, whatever their case, quotes and spaces."""
    return re.sub(r"[^a-z0-9]+", "", story.lower())


def whole(story):
    """Whether a story is long enough and ends where a sentence does."""
    return len(story) >= 200 and story.rstrip()[-1] in ".!?\""


def odd(story):
    """Signs of damaged text or of other text than stories."""
    return bool(re.search(r"[|<>{}\\^~=_#*\[\]]|http|&", story)) or story.count('"') % 2 == 1


def split_lower(text):
    """Documents of the lower-cased file: paragraphs are two line ends apart, documents one."""
    stories, story = [], []
    blank = True
    for line in text.split("\n"):
        if line.strip() and not blank:
            stories.append("\n".join(story))
            story = []
        if line.strip():
            story.append(line)
        blank = not line.strip()
    stories.append("\n".join(story))
    return stories


class Names:
    """Words that are written with a capital inside sentences."""

    INSIDE = re.compile(r"(?<![.!?:\"'\n])(?<!^) ([A-Za-z][a-z]+)\b")

    def __init__(self, stories):
        upper, lower = collections.Counter(), collections.Counter()
        for story in stories:
            for match in self.INSIDE.finditer(story):
                word = match.group(1)
                (upper if word[0].isupper() else lower)[word.lower()] += 1
        self.share = {w: n / (n + lower[w]) for w, n in upper.items() if n >= 3}
        self.words = {w for w, share in self.share.items() if share > 0.5}
        # Words such as mom are names in one story ("Mom said") and not in another ("her mom").
        self.both = {w for w, share in self.share.items() if 0.2 < share <= 0.95} & \
            {"mom", "dad", "mommy", "daddy", "grandma", "grandpa", "mama", "papa", "mum", "mummy"}

    POSSESSIVE = re.compile(r"\b(my|your|his|her|their|our|its|the|a|an|'s|new|and his|and her)$")

    def restore(self, story):
        def word(match):
            text = match.group(0)
            if text in self.both:
                before = story[: match.start()].rstrip()
                return text if self.POSSESSIVE.search(before) else text.capitalize()
            return text.capitalize() if text in self.words else text
        story = re.sub(r"[a-z]+", word, story)
        story = re.sub(r"\bi(?=('m|'ll|'ve|'d)?\b(?!'))", "I", story)
        story = re.sub(r"(^|[.!?]\"? |\n|\n\"|(?:^|[ \n])\")([a-z])",
                       lambda m: m.group(1) + m.group(2).upper(), story)
        # A closing quote and what follows it go on with the sentence: "Hi," she said.
        return self.unquote(story)

    @staticmethod
    def unquote(story):
        """Lower case again behind closing quotes that a comma or a sign ends: "What?" she said."""
        out, inside, i = [], False, 0
        while i < len(story):
            c = story[i]
            if c == "\n":
                inside = False
            if c == '"':
                inside = not inside
                if not inside and i + 2 < len(story) and story[i + 1] == " ":
                    follow = re.match(r"(she|he|they|it|said|asked|replied|shouted|cried|i|the|her|"
                                      r"his)\b", story[i + 2:], re.I)
                    speech = re.match(r"(?:\w+ ){1,4}?(said|asked|replied|shouted|cried|yelled|"
                                      r"exclaimed|answered|called|whispered|explained)\b",
                                      story[i + 2:], re.I)
                    if follow and speech and story[i - 1] in ",!?" and \
                            follow.group(0).lower() != "i":
                        out.append(c + " " + story[i + 2].lower())
                        i += 3
                        continue
            out.append(c)
            i += 1
        return "".join(out)


def pick(story, share):
    """Whether a story is held out: by its own text, so that more text changes nothing."""
    digest = hashlib.sha256(key(story).encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2 ** 32


def grams(story, size=8):
    """Runs of words: a story whose runs occur in another one is a copy with changes."""
    words = re.findall(r"[a-z]+", story.lower())
    return {hash(tuple(words[i:i + size])) for i in range(len(words) - size + 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cased", type=pathlib.Path, required=True)
    parser.add_argument("--lower", type=pathlib.Path)
    parser.add_argument("--valid", type=pathlib.Path, help="text whose stories are all held out")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--held-out", type=int, default=100_000, help="bytes to hold out")
    options = parser.parse_args()
    read = lambda path: path.read_text("utf-8", "replace") if path else ""

    raw = read(options.cased).split(END)
    cased = [clean(s) for s in raw[:-1]]  # what follows the last end is cut off
    names = Names(cased)
    share = options.held_out / max(1, sum(map(len, cased)))
    seen, held, kept, dropped = set(), [], [], collections.Counter()

    def take(story, may_hold):
        if not whole(story) or odd(story):
            dropped["short, cut off or odd"] += 1
        elif key(story) in seen:
            dropped["seen before"] += 1
        else:
            seen.add(key(story))
            (held if may_hold and pick(story, share) else kept).append(story)

    for story in split_lower(read(options.valid)):
        story = clean(story)
        if whole(story) and not odd(story) and key(story) not in seen:
            seen.add(key(story))
            held.append(story if story[0].isupper() else story[0].upper() + story[1:])
    for story in cased:
        take(story, True)
    first = len(kept)
    lower = split_lower(read(options.lower))
    for story in lower[:-1]:
        story = clean(story)
        if key(story) in seen:
            dropped["of the lower-cased file seen before"] += 1
        else:
            take(names.restore(story), False)

    # Copies with small changes would make the held-out loss look better than it is.
    taboo = set().union(*map(grams, held)) if held else set()
    far = []
    for story in kept:
        own = grams(story)
        if own and len(own & taboo) > 0.5 * len(own):
            dropped["near a held-out story"] += 1
        else:
            far.append(story)

    options.out.mkdir(parents=True, exist_ok=True)
    for name, stories in (("train.txt", far), ("held-out.txt", held)):
        text = "".join(f"{story}\n{END}\n" for story in stories)
        (options.out / name).write_text(text, "ascii")
        print(f"{name}: {len(stories)} stories, {len(text)} bytes")
    print(f"from the cased file {first}, with capitals restored {len(kept) - first}; "
          f"{len(names.words)} names")
    for why, count in dropped.items():
        print(f"left out, {why}: {count}")


if __name__ == "__main__":
    main()
