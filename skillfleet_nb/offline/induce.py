"""Making text: small programs over the input, induced from demos (programming by example).

A program cuts a piece out of a source (an input, or an output already given), reshapes it, and perhaps
joins two such pieces.  Candidate cuts come from where the demos' outputs stand in their inputs, as in
Gulwani, *Automating string processing in spreadsheets using input-output examples* (POPL 2011); the
program that reproduces the demos best is kept, the simplest among equals.  Without demos, the field's
name and description choose the program.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.offline.forms import common_phrase, filled, parted, quoted_form
from skillfleet_nb.offline.text import STOP_WORDS, content_words, kebab, sentences, stem, words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.offline.prompt import Field

Sources = dict[str, str]
"""Texts a program can cut from, by field name."""
Known = list[tuple[Sources, str]]
"""Demos of one field: sources and the value."""

_TOKEN = re.compile(r"[^\W_]+")
_MOST_TRIED = 12
_MOST_DEMOS = 32
_MARKS = ("/", "::", ": ", " - ", ".", "_")
_REQUESTS = ("create", "make", "build", "write", "generate", "design", "add", "develop", "produce", "draft", "give")
_PARTIAL = 0.7
_SIMPLER = 1e-3
_GOOD = 0.35
_KEPT = 4096  # texts, in every shape and as bags of words


@dataclass(frozen=True)
class Program:
    """A way to make a value.

    Attributes
    ----------
    does
        What it does, in words.
    cost
        How complex it is.
    run
        The function itself.
    is_as_written
        Whether it takes a part of a source in no other shape.
    is_fixed
        Whether a value is the same for all sources, or begins so.
    """

    does: str
    cost: int
    run: Callable[[Sources], str]
    is_as_written: bool = False
    is_fixed: bool = False


def _after_colon(text: str) -> str:
    return text.partition(":")[2].strip()


def _before_colon(text: str) -> str:
    return text.partition(":")[0].strip()


def _quoted(text: str) -> str:
    match = re.search(r"[\"“«]([^\"”»]+)[\"”»]|`([^`]+)`", text)
    return (match[1] or match[2]).strip() if match else ""


def _sentence(text: str, n: int = 1) -> str:
    return " ".join(sentences(text)[:n])


def _last_sentence(text: str) -> str:
    return (sentences(text) or [""])[-1]


def _skip(text: str, n: int) -> str:
    spans = list(_TOKEN.finditer(text))
    return text[spans[n].start() :].strip() if len(spans) > n else ""


_CUTS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("all of", str.strip),
    ("what follows the colon in", _after_colon),
    ("what precedes the colon in", _before_colon),
    ("the first sentence of", _sentence),
    ("the first two sentences of", lambda text: _sentence(text, 2)),
    ("the last sentence of", _last_sentence),
    ("the first sentence after the colon in", lambda text: _sentence(_after_colon(text))),
    ("what is quoted in", _quoted),
)

_SHAPES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("", lambda text: text),
    ("in kebab-case", kebab),
    ("in snake_case", lambda text: "_".join(words(text))),
    ("in lower case", str.lower),
    ("in upper case", str.upper),
    ("in Title Case", lambda text: " ".join(word.capitalize() for word in text.split())),
    ("without the final mark", lambda text: text.rstrip(".!?")),
    ("only the first word", lambda text: (words(text) or [""])[0]),
    ("only the last word", lambda text: (words(text) or [""])[-1]),
    ("without the first word, in kebab-case", lambda text: "-".join(words(text)[1:])),
    ("the first two words, in kebab-case", lambda text: "-".join(words(text)[:2])),
    ("the last two words, in kebab-case", lambda text: "-".join(words(text)[-2:])),
)


@lru_cache(maxsize=_KEPT)
def _shaped(text: str) -> tuple[str, ...]:
    """Give a text in every shape: sets of demos share most of theirs."""
    return tuple(shape(text) for _, shape in _SHAPES)


def _between(skip: int, left: str, right: str) -> Callable[[str], str]:
    """Cut from after word `left` (or after `skip` words) up to before word `right` (or the end)."""

    def cut(text: str) -> str:
        spans = list(_TOKEN.finditer(text))
        tokens = [span[0].lower() for span in spans]
        begin = skip
        if left:
            begin = tokens.index(left) + 1 if left in tokens else len(tokens)
        if begin >= len(spans):
            return ""
        stop = len(spans)
        if right:
            stop = next((i for i in range(begin, len(tokens)) if tokens[i] == right), len(tokens))
        return text[spans[begin].start() : spans[stop - 1].end()] if stop > begin else ""

    return cut


def _learned_cuts(source: str, examples: Known) -> list[tuple[str, Callable[[str], str]]]:
    """Propose cuts from where each demo's value, or a part of it, stands in `source`."""
    seen: Counter[tuple[int, str, str]] = Counter()
    for sources, value in examples:
        tokens = [m[0].lower() for m in _TOKEN.finditer(sources.get(source, ""))]
        for part in {value, *re.split(r"[/:,]\s*", value)}:
            target = [m[0].lower() for m in _TOKEN.finditer(part)]
            if not target:
                continue
            for i in range(len(tokens) - len(target) + 1):
                if tokens[i : i + len(target)] == target:
                    stop = i + len(target)
                    right = tokens[stop] if stop < len(tokens) else ""
                    seen[i, "", right] += 1
                    if i:
                        seen[0, tokens[i - 1], right] += 1
                    break
    best = sorted(seen, key=lambda cut: (-seen[cut], cut))[:_MOST_TRIED]
    cuts = []
    for skip, left, right in best:
        start = f"what follows {left!r}" if left else f"what follows the first {skip} words"
        cuts.append((f"{start} up to {right!r} in" if right else f"{start} in", _between(skip, left, right)))
    return cuts


class _Try(NamedTuple):
    """A program and what it makes of each demo."""

    program: Program
    made: tuple[str, ...]


def _pieces(examples: Known) -> list[_Try]:
    """Try every cut of every source in every shape; of programs that do the same, keep the simplest."""
    limit = max(len(value) for _, value in examples)
    shapes = [*_SHAPES, (f"cut to {limit} characters", lambda text: text[:limit].rstrip())]
    tried: dict[tuple[str, ...], Program] = {}
    for name in dict.fromkeys(name for sources, _ in examples for name in sources):
        pieces: set[tuple[str, ...]] = set()
        for extra, where, cut in [(0, *cut) for cut in _CUTS] + [(1, *cut) for cut in _learned_cuts(name, examples)]:
            piece = tuple(cut(sources.get(name, "")) for sources, _ in examples)
            if piece in pieces or not any(piece):
                continue
            pieces.add(piece)
            shaped = [*zip(*map(_shaped, piece), strict=True), tuple(text[:limit].rstrip() for text in piece)]
            for i, ((how, shape), made) in enumerate(zip(shapes, shaped, strict=True)):
                cost = 1 + extra + (i > 0)
                if made not in tried or cost < tried[made].cost:
                    does = f"take {where} `{name}`" + (f", {how}" if how else "")
                    tried[made] = Program(does, cost, _apply(name, cut, shape), is_as_written=not how)
    return [_Try(program, made) for made, program in tried.items()]


def _apply(name: str, cut: Callable[[str], str], shape: Callable[[str], str]) -> Callable[[Sources], str]:
    return lambda sources: shape(cut(sources[name])) if name in sources else ""


def _constants(values: Sequence[str], n: int) -> list[_Try]:
    return [
        _Try(Program(f"always {value!r}", 3, lambda _, value=value: value, is_fixed=True), (value,) * n)  # type: ignore[misc]
        for value, _ in Counter(values).most_common(2)
    ]


def _wrap(prefix: str, middle: str, suffix: str) -> str:
    return prefix + middle + suffix if middle else ""


def _affixed(prefix: str, piece: _Try, suffix: str) -> _Try:
    inner = piece.program
    does = inner.does + (f", after {prefix!r}" if prefix else "") + (f", before {suffix!r}" if suffix else "")
    program = Program(does, inner.cost + 1, lambda sources: _wrap(prefix, inner.run(sources), suffix))
    return _Try(program, tuple(_wrap(prefix, text, suffix) for text in piece.made))


def _join(first: str, mark: str, last: str) -> str:
    return first + mark + last if first and last else first or last


def _joined(head: _Try, mark: str, tail: _Try) -> _Try:
    one, two = head.program, tail.program
    does = f"{one.does}; then {mark!r}; then {two.does}"
    program = Program(
        does,
        one.cost + two.cost,
        lambda sources: _join(one.run(sources), mark, two.run(sources)),
        is_fixed=one.is_fixed,
    )
    return _Try(program, tuple(_join(a, mark, b) for a, b in zip(head.made, tail.made, strict=True)))


@lru_cache(maxsize=_KEPT)
def _bag(text: str) -> frozenset[str]:
    return frozenset(words(text))


def _rank(tried: Sequence[_Try], wanted: dict[int, str], best: int) -> list[tuple[float, _Try]]:
    """Give the `best` programs with their mean fit over the demos in `wanted`: number of the demo to value."""

    def fit(made: str, value: str) -> float:
        """Score in [0, 1]: 1 if exact, else a share of the F1 over distinct words."""
        if made == value:
            return 1.0
        left, right = _bag(made), _bag(value)
        return _PARTIAL * 2 * len(left & right) / (len(left) + len(right) or 1)

    scored = [(sum(fit(piece.made[i], value) for i, value in wanted.items()) / len(wanted), piece) for piece in tried]
    scored.sort(key=lambda pair: (-round(pair[0] - _SIMPLER * pair[1].program.cost, 9), pair[1].program.does))
    return scored[:best]


def _compose(pieces: list[_Try], values: list[str]) -> list[_Try]:
    """Join two pieces where most values have the same separator, and keep what all values share at the ends."""
    composed: list[_Try] = []
    for mark in _MARKS:
        split = {i: value.rpartition(mark) for i, value in enumerate(values) if mark in value}
        if len(split) * 2 > len(values):
            heads, tails = ({i: parts[side] for i, parts in split.items()} for side in (0, 2))
            first = _rank([*pieces, *_constants(list(heads.values()), len(values))], heads, 3)
            last = _rank([*pieces, *_constants(list(tails.values()), len(values))], tails, 3)
            composed += [_joined(head, mark, tail) for _, head in first for _, tail in last]
    if len(set(values)) > 1:
        prefix = _shared(values)
        suffix = _shared([value[len(prefix) :][::-1] for value in values])[::-1]
        if prefix or suffix:
            inner = {i: value[len(prefix) : len(value) - len(suffix)] for i, value in enumerate(values)}
            composed += [_affixed(prefix, piece, suffix) for _, piece in _rank(pieces, inner, 3)]
    return composed


def _shared(values: list[str]) -> str:
    first, last = min(values), max(values)
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:n]


def _in_form(phrase: str, pieces: list[_Try], examples: Known) -> Program:
    """Fill a form with the pieces of the sources that fit best before and behind its phrase."""
    split = {i: value.partition(phrase) for i, (_, value) in enumerate(examples) if phrase in value}
    whole = [piece for piece in pieces if piece.program.is_as_written] or pieces
    head, tail = (_rank(whole, {i: parts[side] for i, parts in split.items()}, 1)[0][1].program for side in (0, 2))
    return _form(phrase, head.run, tail.run)


def _form(phrase: str, head: Callable[[Sources], str], tail: Callable[[Sources], str]) -> Program:
    """Fill a form; where a source has its phrase, with what stands there before and behind it."""

    def run(sources: Sources) -> str:
        own = next((two for text in sources.values() if (two := parted(text, phrase)) is not None), None)
        before, behind = own if own is not None else (head(sources), tail(sources) or _first_clause(sources))
        return filled(before, phrase, behind)

    return Program(f"fill the form {phrase!r}", 2, run)


def _first_clause(sources: Sources) -> str:
    first = next((text for text in sources.values() if text.strip()), "")
    return _before_colon(_sentence(first)) or _sentence(first)


class TextModel:
    """Makes the values of one text field.

    Parameters
    ----------
    field
        The field to fill.
    known
        Demos of the field; may be empty.
    about, advice
        What the instruction says of the task, and what its notes say that answers lacked.
    """

    def __init__(self, field: Field, examples: Known, about: str = "", advice: str = "") -> None:
        self._field = field
        self._about = about
        self.trust = 0.0
        self.program = Program("answer by the name of the field", 0, lambda sources: guess(field, sources, about))
        examples = examples[-_MOST_DEMOS:]
        if examples:
            values = [value for _, value in examples]
            pieces = _pieces(examples)
            tried = [*pieces, *_constants(values, len(values)), *_compose(pieces, values)]
            self.trust, best = _rank(tried, dict(enumerate(values)), 1)[0]
            phrase = common_phrase(values)
            if phrase and (self.trust < _GOOD or best.program.is_fixed):
                self.program = _in_form(phrase, pieces, examples)
            elif self.trust >= _GOOD:
                self.program = best.program
        elif phrase := quoted_form(field.name, f"{field.desc}\n{about}\n{advice}"):
            self.program = _form(phrase, self.program.run, _first_clause)

    def make(self, sources: Sources) -> str:
        """Make the value for `sources`; never empty where a source holds a word."""
        return self.program.run(sources) or guess(self._field, sources, self._about)


def guess(field: Field, sources: Sources, about: str = "") -> str:
    """Fill a text field from its name and description alone.

    Parameters
    ----------
    field
        The field to fill.
    sources
        The texts to take from.
    about
        What the instruction says of the task; words it uses are not what a name is made of.
    """
    filled = [text for text in sources.values() if text.strip()]
    first = filled[0] if filled else ""
    called = {*words(field.name.replace("_", " "))}
    if called & {"name", "slug", "id", "identifier", "key", "path", "folder", "filename"}:
        return kebab(_subject(first, f"{field.desc} {about}")) or "item"
    if called & {"title", "heading", "headline", "subject", "topic"}:
        return " ".join(word.capitalize() for word in _subject(first, about).split()) or first
    if called & {"summary", "description", "abstract", "overview", "synopsis", "gist"}:
        return _sentence(_after_colon(first) or first, 2) or first
    if called & {"keywords", "tags", "topics", "keyword", "tag"}:
        return ", ".join(content_words(first)[:5])
    if called & {"answer", "response", "reply", "output", "result", "span", "evidence", "quote"} and len(sources) > 1:
        return _best_sentence(sources)
    return _sentence(first, 2) or "N/A"


def _subject(text: str, instruction: str) -> str:
    """Give the phrase a request is about: what precedes the colon, or its first words, without what is told anyway."""
    head = _before_colon(text) if ":" in text else _sentence(text)
    spoken = {stem(word) for word in words(instruction)} | {stem(verb) for verb in _REQUESTS}
    tokens = [m[0] for m in _TOKEN.finditer(head) if m[0].lower() not in STOP_WORDS]
    kept = [token for token in tokens if stem(token.lower()) not in spoken]
    return " ".join((kept or tokens)[:5])


def _best_sentence(sources: Sources) -> str:
    """Find, in the longest source, the sentence that shares most words with the others."""
    long = max(sources, key=lambda name: (len(sources[name]), name))
    asked = {word for name, text in sources.items() if name != long for word in content_words(text)}
    candidates = sentences(sources[long])
    if not candidates:
        return next((text for text in sources.values() if text.strip()), "N/A")
    return max(candidates, key=lambda s: len(asked & set(words(s))) / (5 + len(words(s))))


class ListModel:
    """Makes the values of a field that is a list of texts.

    Parameters
    ----------
    examples
        Demos of the field.
    """

    def __init__(self, examples: list[tuple[Sources, list[str]]]) -> None:
        self._length = 5
        self._cut: Callable[[Sources], str] = lambda sources: next(iter(sources.values()), "")
        self._shape: Callable[[str], list[str]] = content_words
        if not examples:
            return
        lengths = sorted(len(items) for _, items in examples)
        self._length = max(1, lengths[len(lengths) // 2])
        flat: Known = [(sources, " ".join(items)) for sources, items in examples]
        names = list(dict.fromkeys(name for sources, _ in examples for name in sources))
        best = -1.0
        for name in names:
            for _, cut in [*_CUTS, *_learned_cuts(name, flat)]:
                for shape in (words, content_words, _capitals):
                    run = _apply(name, cut, str.strip)
                    score = sum(_match(shape(run(s))[: self._length], items) for s, items in examples) / len(examples)
                    if score > best + 1e-9:
                        best, self._cut, self._shape = score, run, shape

    def make(self, sources: Sources) -> list[str]:
        """Make the list for `sources`."""
        items = list(dict.fromkeys(self._shape(self._cut(sources))))[: self._length]
        return items or content_words("\n".join(sources.values()))[: self._length]


def _capitals(text: str) -> list[str]:
    return list(dict.fromkeys(m[0] for m in _TOKEN.finditer(text) if m[0][0].isupper()))


def _match(made: list[str], wanted: list[str]) -> float:
    left, right = set(made), set(wanted)
    return 2 * len(left & right) / (len(left) + len(right)) if left or right else 1.0
