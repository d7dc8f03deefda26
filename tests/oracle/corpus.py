"""Events for a set of rules: such as satisfy them, such as nearly do, and mixtures of both.

Each rule's conditions are taken apart into needs: this field must, or must not, satisfy this value. An event is made
for each way of meeting them, and for each way of missing one. Whether an event really satisfies a rule is not decided
here: that is what the two sides are asked.
"""

import ipaddress
import random
import re
from re import _constants as codes
from re import _parser

from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.types import (
    SigmaBool,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

import oracle

MISSING = object()
# Most ways of meeting a condition that are tried: all of them for nearly every rule, a sample for the rest.
MAX_WAYS = 400
# Fewest events that are made to satisfy a rule.
MIN_EVENTS = 40
# Most ways of meeting parts that must hold together.
MAX_COMBINATIONS = 48
FILLERS = ["x", "Zq/9", " ", "\n", "a b", "%", "_", "\\", "ä", "é=1&", "0", "-"]
SINGLES = ["Z", "7", "/", " ", "\n", "%", "é", "漢"]
OTHER_VALUES = ["", "-", "other", "0", 0, 1, 404, "404", 404.5, "404.50", True, "TRUE", "10.1.2.3", "*", "?", "\\", "%"]
NOISE = ["note", "detail", "nested.remark"]
# Fields that engines may treat in ways of their own: short values, and the request target beside its parts.
WEB = ["cs-method", "sc-status", "cs-version", "c-uri-extension", "cs-uri-stem", "c-uri-query", "cs-uri-query", "c-ip"]


class Corpus:
    """Events, each once, in an order that the seed decides."""

    def __init__(self, rules, seed):
        self.rng = random.Random(seed)
        self.events = []
        self.seen = set()
        self.pool = {}
        for rule in rules:
            self._for_rule(rule)
        self.from_rules = len(self.events)

    def mix(self, count):
        """Adds events of any fields, with any values that occurred in any event."""
        names = sorted(self.pool)
        values = [value for name in names for value in self.pool[name]]
        while count > 0:
            event = {}
            for name in self.rng.sample(names, self.rng.randint(1, 8)):
                if any(alias in event for alias in oracle.SAME_FIELD.get(name, [])):
                    continue
                event[name] = self._mixed(self.rng.choice(self.pool[name]), values)
            if self.rng.random() < 0.2:
                event = self._with_parts(event) or event
            count -= self._add(event)

    def _mixed(self, own, values):
        kind = self.rng.random()
        if kind < 0.6:
            return own
        if kind < 0.8:
            return self.rng.choice(values)
        if kind < 0.85:
            return None
        if kind < 0.9:
            return ""
        number = self.rng.choice([0, 1, -7, 22, 200, 302, 404, 500, 599, 600, 1001, 70000, 1.5, 7000.5])
        return number if kind < 0.95 else str(number)

    def _add(self, event):
        """Adds the event, unless it is there already, now and then in another form that means the same."""
        # Two names of one field would be two values for one field.
        event = {oracle.canonical_name(name): (name, value) for name, value in event.items()}
        event = dict(event.values())
        if self.rng.random() < 0.1:
            event = {self._alias(name): value for name, value in event.items()}
        if self.rng.random() < 0.5:
            event = nested(event)
        key = repr(sorted(oracle.flattened(event), key=lambda item: item[0]))
        if key in self.seen:
            return False
        self.seen.add(key)
        self.events.append(event)
        for name, value in oracle.flattened(event):
            values = self.pool.setdefault(name, [])
            if value not in values and len(values) < 500:
                values.append(value)
        return True

    def _alias(self, name):
        return self.rng.choice(oracle.SAME_FIELD.get(name, [name]))

    def _with_parts(self, event):
        """The event with path and query of its request target beside it, as web servers log them."""
        target = event.get("cs-uri-query")
        if not isinstance(target, str) or "cs-uri-stem" in event or "c-uri-query" in event:
            return None
        path, mark, query = target.partition("?")
        parts = {"cs-uri-stem": path} | ({"c-uri-query": query} if mark else {})
        changed = self.rng.random()
        if changed < 0.1:
            parts["cs-uri-stem"] = path + "x"
        elif changed < 0.2:
            parts["c-uri-query"] = "x" + query
        return event | parts

    def _for_rule(self, rule):
        for tree in rule.trees:
            met = self._ways(tree, True)
            missed = self._near(tree)
            # Where there are few ways, each is gone several times, with other fillers and other company.
            for needs in met * max(2, MIN_EVENTS // max(1, len(met))):
                event = self._event(needs)
                if self.rng.random() < 0.5:
                    event.setdefault(self.rng.choice(NOISE), self.rng.choice(OTHER_VALUES))
                self._add(event)
                if with_parts := self._with_parts(event):
                    self._add(with_parts)
            for needs in self._some(missed, MAX_WAYS) * max(1, MIN_EVENTS // max(1, len(missed))):
                self._add(self._event(needs))
            for needs in self._some(met, 24) + self._some(missed, 12):
                event = self._event(needs)
                for changed in self._changes(event):
                    self._add(changed)

    def _some(self, items, count):
        return items if len(items) <= count else self.rng.sample(items, count)

    # === Needs ===

    def _ways(self, node, wanted):
        """Ways of making a condition come out as wanted, each a list of (field, value, wanted)."""
        if isinstance(node, ConditionNOT):
            return self._ways(node.args[0], not wanted)
        if isinstance(node, (ConditionAND, ConditionOR)):
            together = isinstance(node, ConditionAND) == wanted
            return self._together(node.args, wanted) if together else self._either(node.args, wanted)
        field = node.field if isinstance(node, ConditionFieldEqualsValueExpression) else None
        if isinstance(node.value, SigmaExpansion):
            values = list(expanded(node.value))
            if wanted:
                return [[(field, value, True)] for value in values]
            return [[(field, value, False) for value in values]]
        return [[(field, node.value, wanted)]]

    def _either(self, nodes, wanted):
        ways = [way for node in nodes for way in self._ways(node, wanted)]
        if 1 < len(nodes) <= 12:
            # One part alone, the others coming out otherwise.
            for place, node in enumerate(nodes):
                others = [self.rng.choice(self._ways(other, not wanted)) for other in nodes[:place] + nodes[place + 1:]]
                own = self.rng.choice(self._ways(node, wanted))
                ways.append(own + [need for other in others for need in other])
        for _ in range(min(len(nodes), 6)):
            if len(nodes) > 1:
                both = self._together(self.rng.sample(nodes, 2), wanted)[:2]
                ways += [way for way in both if not is_contradictory(way)]
        return self._some(ways, MAX_WAYS)

    def _together(self, nodes, wanted):
        """Each way of each part occurs at least once; the other parts are met in any of their ways."""
        parts = [self._ways(node, wanted) for node in nodes]
        total = 1
        for part in parts:
            total *= len(part)
        if total <= MAX_COMBINATIONS:
            ways = [[]]
            for part in parts:
                ways = [way + more for way in ways for more in part]
            return ways
        ways = []
        for place, part in enumerate(parts):
            for own in self._some(part, MAX_WAYS // len(parts) + 1):
                others = [self.rng.choice(other) for at, other in enumerate(parts) if at != place]
                ways.append(own + [need for other in others for need in other])
        return self._some(ways, MAX_WAYS)

    def _near(self, node, wanted=True):
        """Ways of missing a condition by one of its parts."""
        if isinstance(node, ConditionNOT):
            return self._near(node.args[0], not wanted)
        if isinstance(node, (ConditionAND, ConditionOR)) and isinstance(node, ConditionAND) == wanted:
            ways = []
            for place, part in enumerate(node.args):
                others = node.args[:place] + node.args[place + 1:]
                met = self._together(others, wanted) if others else [[]]
                for missed in self._some(self._near(part, wanted), 40):
                    ways.append(self.rng.choice(met) + missed)
            return ways
        return self._ways(node, not wanted)

    # === Events that meet needs ===

    def _event(self, needs):
        event, texts = {}, {}
        for field, value, wanted in needs:
            if field is None:
                free = [name for name in [*NOISE, *WEB, "f"] if name not in event] or NOISE
                if wanted:
                    event[self.rng.choice(free)] = self._embedded(value)
                elif self.rng.random() < 0.3:
                    event[self.rng.choice(free)] = self.rng.choice(list(self._texts_near(self._embedded(value))))
            elif wanted and isinstance(value, SigmaRegularExpression) and isinstance(event.get(field), str):
                event[field] += " " + sample(value, self.rng)
            elif wanted and isinstance(value, SigmaString):
                texts.setdefault(field, []).append(value)
            elif wanted:
                self._meet(event, field, value)
        for field, values in texts.items():
            event[field] = self._text(values)
        for field, value, wanted in needs:
            if field is not None and not wanted and field not in event and field not in texts:
                self._miss(event, field, value)
        return {name: value for name, value in event.items() if value is not MISSING}

    def _embedded(self, value):
        if isinstance(value, SigmaString):
            text = self._text([value])
        elif isinstance(value, SigmaRegularExpression):
            text = sample(value, self.rng)
        else:
            text = str(value)
        return self._filler() + text + self._filler() if self.rng.random() < 0.5 else text

    def _filler(self):
        return self.rng.choice(FILLERS) if self.rng.random() < 0.5 else ""

    def _text(self, values, singles=SINGLES):
        """A text that satisfies all the patterns, if they can be put one behind the other."""

        def place(value):
            starts = value.startswith(SpecialChars.WILDCARD_MULTI)
            ends = value.endswith(SpecialChars.WILDCARD_MULTI)
            return 1 if starts == ends else 2 if starts else 0

        pieces = []
        for value in sorted(values, key=place):
            piece = ""
            for part in value.s:
                if isinstance(part, str):
                    piece += part
                elif part == SpecialChars.WILDCARD_MULTI:
                    piece += self._filler()
                else:
                    piece += self.rng.choice(singles)
            pieces.append(piece)
        return self.rng.choice(["", " ", "x"]).join(pieces)

    def _meet(self, event, field, value):
        if isinstance(value, SigmaRegularExpression):
            event[field] = sample(value, self.rng)
        elif isinstance(value, SigmaCIDRExpression):
            event[field] = str(self._address(ipaddress.ip_network(value.cidr)))
        elif isinstance(value, SigmaCompareExpression):
            event[field] = self._number(value.number.number)
        elif isinstance(value, SigmaNull):
            event[field] = self.rng.choice([None, MISSING])
        elif isinstance(value, SigmaExists):
            event[field] = self.rng.choice([None, "", "there"]) if value.exists else MISSING
        elif isinstance(value, SigmaTimestampPart):
            event[field] = self._time(value, event.get(field))
        elif isinstance(value, SigmaNumber):
            event[field] = self.rng.choice([value.number, str(value.number)])
        elif isinstance(value, SigmaBool):
            event[field] = self.rng.choice([value.boolean, str(value.boolean), str(value.boolean).lower()])
        elif isinstance(value, SigmaFieldReference):
            other = event.setdefault(value.field, self.rng.choice(["ann", "10%_\\x", "É", "404", "b*"]))
            text = oracle.as_text(other) if other is not MISSING else "ann"
            before = self.rng.choice(["", "x", "%"]) if value.ends_with else ""
            behind = self.rng.choice(["", "x", "_"]) if value.starts_with else ""
            event[field] = before + self.rng.choice([text, text.swapcase()]) + behind if text is not None else None
        else:
            raise TypeError(f"no event for {value!r}")

    def _miss(self, event, field, value):
        kind = self.rng.random()
        if kind < 0.4:
            return
        if kind < 0.5:
            event[field] = None
        elif kind < 0.6 or isinstance(value, (SigmaNull, SigmaExists)):
            event[field] = self.rng.choice(OTHER_VALUES)
        elif isinstance(value, SigmaString):
            text = self._text([value])
            event[field] = self.rng.choice([self._text([value], ["", "xy"]), *self._texts_near(text)])
        elif isinstance(value, SigmaCIDRExpression):
            event[field] = str(self._address_beside(ipaddress.ip_network(value.cidr)))
        elif isinstance(value, SigmaCompareExpression) and self.rng.random() < 0.5:
            self._meet(event, field, value)
        else:
            self._meet(event, field, value)
            event[field] = self._near_value(event.get(field, MISSING))

    def _address(self, network):
        first, last = int(network[0]), int(network[-1])
        number = self.rng.choice([first, last, self.rng.randint(first, last)])
        return type(network[0])(number)

    def _address_beside(self, network):
        """An address in or beside the network."""
        size, number = network.num_addresses, int(self._address(network))
        number = self.rng.choice([number, int(network[0]) - 1, int(network[-1]) + 1, number - size, number + size])
        return type(network[0])(number % 2 ** network.max_prefixlen)

    def _number(self, number):
        near = self.rng.choice([number, number + 1, number - 1, number + 0.5, number * 10])
        return self.rng.choice([near, str(near), f" {near} ", f"{near}0" if isinstance(near, float) else f"{near}.0"])

    def _time(self, value, before):
        """A time with this part, keeping the other parts of one that is there."""
        found = re.match(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+)", before) if isinstance(before, str) else None
        parts = [int(part) for part in found.groups()] if found else [self.rng.choice([2024, 2028]), 1, 1, 12, 30]
        name = value.timestamp_part.name.lower()
        if name == "week":
            parts[1:3] = {0: (1, 1), 1: (1, 9), 52: (12, 31)}.get(value.number, (6, 15))
        else:
            parts[["year", "month", "day", "hour", "minute"].index(name)] = value.number
        if parts[1] == 2:
            parts[2] = min(parts[2], 29 if parts[0] % 4 == 0 else 28)
        zone = self.rng.choice(["Z", "Z", "+00:00", "-05:30"])
        second = self.rng.choice(["00", "59", "30.25"])
        return "{:04}-{:02}-{:02}T{:02}:{:02}:{}{}".format(*parts, second, zone)

    # === Events that are nearly the same ===

    def _changes(self, event):
        for name, value in event.items():
            without = {other: kept for other, kept in event.items() if other != name}
            yield without
            yield without | {name: None}
            yield without | {name: ""}
            if isinstance(value, str):
                for text in self._texts_near(value):
                    yield without | {name: text}
                # The value where it does not belong.
                yield without | {self.rng.choice(NOISE): value}
            else:
                yield without | {name: self._near_value(value)}

    def _texts_near(self, text):
        yield text.swapcase()
        yield text.upper()
        yield text.lower()
        yield "x" + text
        yield text + "x"
        yield text + "\n"
        if self.rng.random() < 0.1:
            yield text + "y" * 1100
        yield text[1:]
        yield text[:-1]
        if text:
            at = self.rng.randrange(len(text))
            yield text[:at] + self.rng.choice("x/\\%_*?ä") + text[at + 1:]
            yield text[:at] + text[at] + text[at:]
            yield text[:at] + "\n" + text[at:]
            yield text[:at].swapcase() + text[at:]
            yield text[:at] + text[at:].swapcase()
            sign = self.rng.choice([character for character in text if not character.isalnum()] or [text[0]])
            yield text.replace(sign, "Z")
            yield text.replace(sign, "", 1)
        for wildcard in "*?":
            if wildcard in text:
                yield text.replace(wildcard, "Z")
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return
        for number in (int(address) - 1, int(address) + 1):
            if 0 <= number < 2 ** address.max_prefixlen:
                yield str(type(address)(number))
        yield f"::ffff:{text}" if address.version == 4 else address.exploded
        yield text + ":443"

    def _near_value(self, value):
        if isinstance(value, bool):
            return self.rng.choice([not value, str(value), int(value)])
        if isinstance(value, (int, float)):
            return self.rng.choice([value + 1, value - 1, value + 0.25, str(value), f"{value}x", -value])
        if isinstance(value, str):
            return self.rng.choice(list(self._texts_near(value)))
        return self.rng.choice(OTHER_VALUES)


def is_contradictory(needs):
    """Whether a field is to be two texts at a time."""
    whole = [
        field
        for field, value, wanted in needs
        if wanted and isinstance(value, SigmaString) and field is not None and not value.contains_special()
    ]
    return len(whole) > len(set(whole))


def expanded(value):
    """The values that a value stands for."""
    if isinstance(value, SigmaExpansion):
        for one in value.values:
            yield from expanded(one)
    else:
        yield value


def nested(event):
    """The event with its dotted names as objects within objects."""
    tree = {}
    for name, value in event.items():
        at, *path = name.split(".")
        if not path:
            tree[name] = value
            continue
        branch = tree.setdefault(at, {})
        while isinstance(branch, dict) and len(path) > 1:
            branch = branch.setdefault(path.pop(0), {})
        if not isinstance(branch, dict):
            return dict(event)
        branch[path[0]] = value
    return tree


# === Texts for regular expressions ===


def sample(value, rng):
    """A text in which the regular expression is found, lookaround aside."""
    flags = 0
    for flag in value.flags:
        flags |= value.sigma_to_python_flags[flag]
    text = sampled(_parser.parse(str(value.regexp), flags), rng, {})
    before = rng.choice(["", "", "", "x ", "x\n"])
    behind = rng.choice(["", "", "", " x", "\nx"])
    return before + text + behind


def sampled(parsed, rng, groups):
    text = ""
    for code, argument in parsed:
        if code in (codes.LITERAL, codes.NOT_LITERAL):
            text += chr(argument) if code == codes.LITERAL else "~"
        elif code == codes.ANY:
            text += rng.choice("aZ0 /.\n")
        elif code == codes.IN:
            text += one_of(argument, rng)
        elif code == codes.BRANCH:
            text += sampled(rng.choice(argument[1]), rng, groups)
        elif code == codes.SUBPATTERN:
            group, _, _, inner = argument
            groups[group] = sampled(inner, rng, groups)
            text += groups[group]
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            low, high, inner = argument
            for _ in range(rng.randint(low, min(int(high), low + 2))):
                text += sampled(inner, rng, groups)
        elif code == codes.GROUPREF:
            text += groups.get(argument, "")
        elif code not in (codes.AT, codes.ASSERT, codes.ASSERT_NOT):
            raise TypeError(f"no text for {code}")
    return text


def one_of(alternatives, rng):
    if alternatives[0][0] == codes.NEGATE:
        return "~"
    code, argument = rng.choice(alternatives)
    if code == codes.LITERAL:
        return chr(argument)
    if code == codes.RANGE:
        return chr(rng.randint(*argument))
    return {
        codes.CATEGORY_DIGIT: "7",
        codes.CATEGORY_WORD: "w",
        codes.CATEGORY_SPACE: " ",
        codes.CATEGORY_NOT_DIGIT: "d",
        codes.CATEGORY_NOT_WORD: "-",
        codes.CATEGORY_NOT_SPACE: "s",
    }[argument]
