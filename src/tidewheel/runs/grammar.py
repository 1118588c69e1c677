"""The language of searches over runs: comparisons joined by AND, parsed into values.

    filter     = comparison { AND comparison }
    comparison = key ( = | != | < | <= | > | >= ) value
               | key [NOT] LIKE 'text'   | key [NOT] ILIKE 'text'
               | key [NOT] IN (value, ...)
               | key IS [NOT] NULL
    key        = metrics.NAME | params.NAME | tags.NAME | ATTRIBUTE     (NAME in `backticks` or "quotes" when it is no
    plain word) value      = number | 'text'
    order      = key [ASC | DESC]

Metrics compare with numbers, attributes of time with ISO 8601 texts or microseconds, everything else with texts;
parameters also with numbers, and then as numbers. A negation (``!=``, ``NOT``) also holds where the key is absent.
LIKE knows ``%`` and ``_`` and minds case; ILIKE does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tidewheel.clock import parse_instant
from tidewheel.errors import Invalid, near_miss
from tidewheel.runs.definition import RunStatus

Kind = Literal["metric", "parameter", "tag", "attribute"]
Scalar = str | float

TEXTS = ("id", "name", "experiment", "status", "actor", "recipe", "host")
TIMES = ("started_at", "ended_at")

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("metrics", "metric"), "metric"),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), "parameter"),
    **dict.fromkeys(("tags", "tag"), "tag"),
    **dict.fromkeys(("attributes", "attribute", "run"), "attribute"),
}
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_ORDERINGS = ("<", "<=", ">", ">=")
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
          |(?P<text>'(?:[^']|'')*')
          |(?P<quoted>`[^`]*`|"[^"]*")
          |(?P<word>[A-Za-z_][\w/-]*)
          |(?P<sign><=|>=|!=|<>|==|=|<|>|\(|\)|,|\.))""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Key:
    """What is compared or sorted by."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return self.name if self.kind == "attribute" else f"{self.kind}s.{self.name}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition. ``operator`` is a sign, ``LIKE``, ``ILIKE``, ``IN`` or ``NULL``; ``negated`` turns the last four round."""

    key: Key
    operator: str
    values: tuple[Scalar, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """One key to sort by. Runs without a value come last, either way."""

    key: Key
    descending: bool = False


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_filter(text: str) -> tuple[Comparison, ...]:
    """Read a filter; an empty one has no conditions.

    Raises
    ------
    Invalid
        Naming the position (counted from 1) and what would be right.

    Examples
    --------
    >>> parse_filter("metrics.mae < 5 AND params.lr = '0.1'")[0]
    Comparison(key=Key(kind='metric', name='mae'), operator='<', values=(5.0,), negated=False)
    >>> parse_filter("metrics.mae < low")
    Traceback (most recent call last):
        ...
    tidewheel.errors.Invalid: expected a value, found 'low' (at position 15 of "metrics.mae < low"). Fix: write a number
    """
    parser = _Parser(text)
    found: list[Comparison] = []
    while not parser.done:
        if found:
            parser.expect_word("AND", fix="join conditions with AND (there is no OR and no grouping)")
        found.append(parser.comparison())
    return tuple(found)


def parse_order(text: str) -> Order:
    """Read ``"metrics.mae"`` or ``"started_at DESC"``.

    Examples
    --------
    >>> parse_order("metrics.mae DESC")
    Order(key=Key(kind='metric', name='mae'), descending=True)
    """
    parser = _Parser(text)
    key = parser.key()
    descending = False
    if not parser.done:
        word = parser.take()
        if word.text.upper() not in ("ASC", "DESC"):
            raise parser.fail(
                word, f"{word.text!r} is no direction", "write ASC or DESC after the key, and give several keys as a list"
            )
        descending = word.text.upper() == "DESC"
    if not parser.done:
        raise parser.fail(parser.take(), "text after the direction", "give several keys as a list")
    return Order(key, descending)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[_Token] = []
        self.next = 0
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                at = position + len(text[position:]) - len(text[position:].lstrip())
                token = _Token("bad", text[at : at + 1], at)
                raise self.fail(
                    token,
                    f"{token.text!r} is not understood",
                    "write comparisons such as metrics.mae < 5 AND tags.team = 'eta'",
                )
            self.tokens.append(_Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)))
            position = match.end()

    @property
    def done(self) -> bool:
        return self.next >= len(self.tokens)

    def peek(self) -> _Token:
        return _Token("end", "", len(self.text)) if self.done else self.tokens[self.next]

    def take(self) -> _Token:
        token = self.peek()
        self.next += 1
        return token

    def fail(self, token: _Token, what: str, fix: str) -> Invalid:
        return Invalid(what, where=f'position {token.at + 1} of "{self.text}"', fix=fix)

    def expect_word(self, word: str, *, fix: str) -> None:
        token = self.take()
        if token.kind != "word" or token.text.upper() != word:
            raise self.fail(token, f"expected {word}, found {token.text or 'the end'!r}", fix)

    def key(self) -> Key:
        first = self.take()
        if first.kind not in ("word", "quoted"):
            raise self.fail(
                first,
                f"expected a key, found {first.text or 'the end'!r}",
                "start with metrics.NAME, params.NAME, tags.NAME or an attribute",
            )
        if self.peek().text != ".":
            return self._attribute(first)
        kind = _KINDS.get(first.text.lower())
        if kind is None:
            raise self.fail(first, f"{first.text!r} is no group of keys", near_miss(first.text, ("metrics", "params", "tags")))
        self.take()
        name = self._dotted_name()
        return self._attribute(name) if kind == "attribute" else Key(kind, name.text)

    def _dotted_name(self) -> _Token:
        token = self.take()
        if token.kind == "quoted":
            return _Token("word", token.text[1:-1], token.at)
        if token.kind not in ("word", "number"):
            raise self.fail(
                token,
                f"expected a name after the dot, found {token.text or 'the end'!r}",
                "write metrics.mae, or metrics.`odd name`",
            )
        text = token.text
        while self.peek().text == ".":
            self.take()
            text += "." + self.take().text
        return _Token("word", text, token.at)

    def _attribute(self, token: _Token) -> Key:
        if token.text not in TEXTS + TIMES:
            known = (*TEXTS, *TIMES)
            raise self.fail(
                token,
                f"runs have no attribute {token.text!r}",
                near_miss(token.text, known) + "; or write metrics., params. or tags. before it",
            )
        return Key("attribute", token.text)

    def comparison(self) -> Comparison:
        key = self.key()
        token = self.take()
        word = token.text.upper()
        if token.kind == "sign":
            operator = {"<>": "!=", "==": "="}.get(word, word)
            if operator in _COMPARISONS:
                return Comparison(key, operator, (self._value(key, operator),))
        if word == "IS":
            negated = self._taken("NOT")
            self.expect_word("NULL", fix="write IS NULL or IS NOT NULL")
            return Comparison(key, "NULL", (), negated)
        negated = word == "NOT"
        if negated:
            token = self.take()
            word = token.text.upper()
        if word in ("LIKE", "ILIKE"):
            return Comparison(key, word, (self._pattern(key),), negated)
        if word == "IN":
            return Comparison(key, "IN", self._values(key), negated)
        raise self.fail(
            token, f"expected a comparison, found {token.text or 'the end'!r}", "use = != < <= > >= LIKE ILIKE IN, or IS NULL"
        )

    def _taken(self, word: str) -> bool:
        if self.peek().text.upper() == word:
            self.take()
            return True
        return False

    def _pattern(self, key: Key) -> str:
        token = self.take()
        if key.kind == "metric" or key.name in TIMES:
            raise self.fail(token, f"{key} is a number and LIKE compares texts", f"compare it with a number: {key} < 1")
        if token.kind != "text":
            raise self.fail(
                token, f"LIKE needs a text, found {token.text or 'the end'!r}", "write it in single quotes: LIKE 'eta%'"
            )
        return _unquote(token.text)

    def _values(self, key: Key) -> tuple[Scalar, ...]:
        fix = f"write {key} IN ('a', 'b')"
        if not self._taken("("):
            raise self.fail(self.peek(), "IN needs a list in parentheses", fix)
        found = [self._value(key, "=")]
        while self._taken(","):
            found.append(self._value(key, "="))
        if not self._taken(")"):
            raise self.fail(self.peek(), "the list after IN is not closed", fix)
        if len({type(value) for value in found}) > 1:
            raise self.fail(self.peek(), "the list after IN mixes numbers and texts", fix)
        return tuple(found)

    def _value(self, key: Key, operator: str) -> Scalar:
        token = self.take()
        if token.kind not in ("number", "text"):
            fix = "write a number" if key.kind == "metric" else f"write a text in single quotes: {key} {operator} 'text'"
            raise self.fail(token, f"expected a value, found {token.text or 'the end'!r}", fix)
        number = float(token.text) if token.kind == "number" else None
        if key.kind == "metric":
            if number is None:
                raise self.fail(token, f"{key} is compared with a text", f"compare it with a number: {key} {operator} 1")
            return number
        if key.kind == "parameter" and number is not None:
            return number
        if key.kind == "attribute" and key.name in TIMES:
            return number if number is not None else float(parse_instant(_unquote(token.text)))
        if number is not None:
            raise self.fail(
                token,
                f"{key} is a text and is compared with a number",
                f"put it in single quotes: {key} {operator} '{token.text}'",
            )
        text = _unquote(token.text)
        if operator in _ORDERINGS:
            raise self.fail(
                token, f"{key} is a text, which is not less or greater", "use = != LIKE or IN; params compare with numbers"
            )
        if key == Key("attribute", "status") and text not in {status.value for status in RunStatus}:
            raise self.fail(token, f"{text!r} is no status", near_miss(text, [status.value for status in RunStatus]))
        return text


def _unquote(text: str) -> str:
    return text[1:-1].replace("''", "'")
