"""The other opinion: pySigma and its SQLite backend, over a table of events.

Watchbell compiles Sigma by itself, so its own tests can only say that it does what its authors meant. Here the same
rules are read by the reference implementation of the standard, turned into SQL, and run by a database. What the
backend cannot say of an event, it is told how to ask; every such place is listed in `REPLACED` and printed by the
checks, so that nobody takes our own code for the other opinion.
"""

import functools
import ipaddress
import json
import re
import sqlite3
from datetime import datetime, timezone
from pathlib import Path

import yaml
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.policy.profiles import TrustedPolicy
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import ValueListPlaceholderTransformation
from sigma.types import SpecialChars

REPLACED = [
    "REGEXP is Python's `re.search`: SQLite has the operator, but no function behind it.",
    "cidr is Python's `ipaddress`: the backend's `LIKE '10.%'` takes `10.evil` for an address.",
    "lt, lte, gt, gte and the parts of times see a column of text through `as_number` and `time_part`: to SQLite"
    " every text is greater than every number.",
    "exists asks for the presence of the name: a column cannot tell null from missing.",
    "true and false are the texts `true` and `false`; the backend would take 1 and 0 as well.",
    "Keywords with wildcards and regular expressions as keywords are tried on each value: in `raw` they would run"
    " across the ends of values.",
    "Events beyond ASCII are judged by LIKE and NOCASE with Unicode's case folding: SQLite knows that of ASCII only.",
]

# Names of the Sigma taxonomy that mean one field: of a request, there is one user agent.
ALIASES = [
    ["cs-user-agent", "c-useragent", "c-user-agent", "user_agent.original"],
    ["cs-referer", "cs-referrer", "http.request.referrer"],
    ["c-ip", "src_ip", "client.ip", "source.ip"],
    ["cs-username", "user.name"],
    ["cs-method", "http.request.method"],
    ["cs-uri-query", "url.original"],
    ["cs-uri-stem", "url.path"],
    ["c-uri-query", "url.query"],
    ["c-uri-extension", "url.extension"],
    ["c-uri", "url.full"],
    ["cs-host", "url.domain"],
    ["sc-status", "http.response.status_code"],
    ["sc-bytes", "http.response.bytes", "http.response.body.bytes"],
    ["cs-bytes", "http.request.body.bytes"],
    ["cs-content-type", "http.response.mime_type"],
    ["cs-version", "http.version"],
]
SAME_FIELD = {name: names for names in ALIASES for name in names}

RAW = "raw"
EACH = "value_of_each"
PRESENT = "names_present"


class Oracle(sqliteBackend):
    """The backend, with what is said in `REPLACED`."""

    compare_op_expression = "as_number({field}) {operator} {value}"
    field_timestamp_part_expression = "time_part('{timestamp_part}', {field})"
    bool_expression = "({field}={value} COLLATE NOCASE)"

    def __init__(self, placeholders=None, **options):
        pipeline = ProcessingPipeline(
            items=[ProcessingItem(ValueListPlaceholderTransformation())], vars=placeholders or {}
        )
        super().__init__(pipeline, fulltext_field=RAW, collate_nocase=True, **options)

    def convert_condition_field_exists(self, cond, state):
        name = "\n" + cond.field + "\n"
        return f"(instr({PRESENT}, '{quoted(name)}') > 0)"

    def convert_condition_field_not_exists(self, cond, state):
        return "NOT " + self.convert_condition_field_exists(cond, state)

    def convert_condition_field_eq_val_cidr(self, cond, state):
        return f"in_network({self.escape_and_quote_field(cond.field)}, '{cond.value.cidr}')"

    def convert_condition_val_str(self, cond, state):
        test = super().convert_condition_val_str(cond, state)
        return self._of_each(test) if cond.value.contains_special() else test

    def convert_condition_val_re(self, cond, state):
        return self._of_each(super().convert_condition_val_re(cond, state))

    def convert_condition_field_eq_expansion(self, cond, state):
        # Of an expansion within an expansion, as of windash and base64offset, the inner one lacks this.
        cond.source = getattr(cond, "source", None)
        return super().convert_condition_field_eq_expansion(cond, state)

    def _of_each(self, test):
        column = self.escape_and_quote_field(RAW)
        assert test.startswith(column + " ")
        return f"EXISTS (SELECT 1 FROM json_each({EACH}) e WHERE e.value {test[len(column) + 1:]})"


def quoted(text):
    return text.replace("'", "''")


# === Rules ===


def renamed(node):
    """The document with `wide` for `utf16le`: pySigma knows only the alias."""
    if isinstance(node, dict):
        return {
            "|".join("wide" if word == "utf16le" else word for word in key.split("|")): renamed(value)
            for key, value in node.items()
        }
    return [renamed(item) for item in node] if isinstance(node, list) else node


class Rule:
    """A detection: its name, and one SQL condition for each of the conditions it lists."""

    def __init__(self, document, path):
        document = {**document, "detection": renamed(document["detection"])}
        collection = SigmaCollection.from_dicts([document], policy=TrustedPolicy)
        self.path = path
        self.sigma = collection.rules[0]
        self.name = str(self.sigma.id or self.sigma.name or self.sigma.title)
        placeholders = (document.get("x-watchbell") or {}).get("placeholders") or {}
        backend = Oracle(placeholders)
        prefix = "SELECT * FROM logs WHERE "
        queries = backend.convert_rule(self.sigma)
        assert queries and all(query.startswith(prefix) for query in queries), queries
        self.conditions = [query[len(prefix):] for query in queries]
        self.trees = [condition.parsed for condition in self.sigma.detection.parsed_condition]


def documents(directories):
    """The documents of all rule files below the directories, with their files."""
    for directory in directories:
        paths = sorted(path for kind in ("*.yml", "*.yaml") for path in Path(directory).rglob(kind))
        for path in paths:
            if not path.name.endswith((".test.yml", ".test.yaml")):
                for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                    if document:
                        yield path, document


# === Events ===


def as_text(value):
    """A JSON value as it stands in the table: 404 and "404" are equal, so all of it is text."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def flattened(event, prefix=""):
    """Name and value of each field; of nested objects the names are joined by dots."""
    for name, value in event.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def canonical_name(name):
    """One name for all names of a field."""
    return SAME_FIELD.get(name, [name])[0]


def canonical(event):
    """Name and value of each field, by one name for each field."""
    for name, value in flattened(event):
        yield canonical_name(name), value


@functools.lru_cache(1 << 14)
def fold(text):
    """Case folding of each character by itself: one that folds to several stays one, in lower case."""
    folded = ((character, character.casefold()) for character in text)
    return "".join(one if len(one) == 1 else character.lower() for character, one in folded)


@functools.lru_cache(1 << 16)
def compiled(pattern):
    return re.compile(pattern)


def regexp(pattern, value):
    return None if value is None else compiled(pattern).search(value) is not None


NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


def as_number(value):
    return float(value) if value is not None and NUMBER.fullmatch(value) else None


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


def time_of(value):
    """The time that is written in RFC 3339, or None."""
    if value is None or not TIME.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(timezone.utc)
    except ValueError:
        return None


def time_part(part, value):
    time = time_of(value)
    return int(time.strftime(part)) if time else None


@functools.lru_cache(1 << 16)
def in_network(value, network):
    if value is None:
        return None
    try:
        address = ipaddress.ip_address(value.strip())
    except ValueError:
        return False
    # The standard does not say; for us blanks around an address do not matter, and an IPv4 address in IPv6 clothes
    # is an IPv4 address.
    address = getattr(address, "ipv4_mapped", None) or address
    return address in ipaddress.ip_network(network)


@functools.lru_cache(1 << 16)
def like_pattern(pattern, escape):
    """A LIKE pattern as a test of folded text."""
    star = SpecialChars.WILDCARD_MULTI
    parts, literal, characters = [], [], iter(pattern)
    for character in characters:
        if character == escape:
            literal.append(next(characters))
        elif character in "%_":
            parts += ["".join(literal), star if character == "%" else SpecialChars.WILDCARD_SINGLE]
            literal = []
        else:
            literal.append(character)
    parts.append("".join(literal))
    parts = [fold(part) if isinstance(part, str) else part for part in parts if part != ""]
    if len(parts) == 3 and parts[0] == parts[2] == star and isinstance(parts[1], str):
        return lambda text: parts[1] in text
    regex = "".join(
        re.escape(part) if isinstance(part, str) else ".*" if part == star else "." for part in parts
    )
    return re.compile(regex, re.DOTALL).fullmatch


def like(pattern, text, escape):
    if pattern is None or text is None:
        return None
    return bool(like_pattern(pattern, escape)(fold(text)))


def nocase(left, right):
    left, right = fold(left), fold(right)
    return (left > right) - (left < right)


class Table:
    """Events in SQLite, and which of them a rule matches."""

    def __init__(self, fields, unicode=False):
        # SQLite does not tell `f` from `F`; two such names would silently share a column.
        lower = [field.lower() for field in fields]
        assert len(set(lower)) == len(lower), f"names that differ in case only: {sorted(lower)}"
        self.fields = list(fields)
        self.connection = sqlite3.connect(":memory:")
        for name, count, function in [
            ("regexp", 2, regexp),
            ("as_number", 1, as_number),
            ("time_part", 2, time_part),
            ("in_network", 2, in_network),
        ]:
            self.connection.create_function(name, count, function, deterministic=True)
        if unicode:
            self.connection.create_function("like", 3, like, deterministic=True)
            self.connection.create_collation("NOCASE", nocase)
        columns = [f'"{name}"' for name in [*self.fields, RAW, EACH, PRESENT]]
        self.connection.execute(f"CREATE TABLE logs ({', '.join(f'{column} TEXT' for column in columns)})")
        places = ", ".join("?" * (1 + len(columns)))
        self.insert = f"INSERT INTO logs (rowid, {', '.join(columns)}) VALUES ({places})"

    def add(self, numbered_events):
        """Adds events, each with its number."""
        self.connection.executemany(self.insert, (self._row(number, event) for number, event in numbered_events))

    def _row(self, number, event):
        row = dict.fromkeys(self.fields)
        present, texts = [], []
        for name, value in flattened(event):
            text = as_text(value)
            for column in SAME_FIELD.get(name, [name]):
                present.append(column)
                if column in row:
                    row[column] = text
            if text is not None:
                texts.append(text)
        names = "\n" + "\n".join(present) + "\n"
        return [number, *row.values(), "\n".join(texts), json.dumps(texts), names]

    def matches(self, condition):
        """Numbers of the events that a condition holds for."""
        return {number for (number,) in self.connection.execute(f"SELECT rowid FROM logs WHERE {condition}")}
