"""Compares Watchbell's verdicts about single events with those of pySigma's SQLite backend.

    python detections.py BINARY [RULES_DIR...]

The rules beside this file are always compared. Without RULES_DIR, so are those in `$WATCHBELL_SAMPLES/sigma`, where
that is set.

Exit status: 0 when all verdicts agree, 1 when one differs or a rule is not compared at all, 2 for bad use.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sigma.conditions import ConditionFieldEqualsValueExpression
from sigma.types import SigmaFieldReference, SigmaRegularExpression, SigmaTimestampPart

import oracle
from corpus import Corpus

OWN_RULES = Path(__file__).resolve().parent / "rules"
MAX_PRINTED = 100


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("binary", metavar="BINARY")
    arguments.add_argument("directories", metavar="RULES_DIR", nargs="*", type=Path)
    arguments.add_argument("--seed", type=int, default=1, help="of the corpus [1]")
    arguments.add_argument("--mixtures", type=int, default=20000, help="random events [20000]")
    arguments.add_argument("--keep", metavar="FILE", type=Path, help="write the events there")
    arguments = arguments.parse_args()
    directories = [directory.resolve() for directory in arguments.directories]
    if not directories and "WATCHBELL_SAMPLES" in os.environ:
        directories = [Path(os.environ["WATCHBELL_SAMPLES"]).resolve() / "sigma"]
    directories = list(dict.fromkeys([OWN_RULES, *directories]))

    started = time.monotonic()
    rules, left_out, faults = load(directories)
    print(f"rules: {len(rules)}")
    for rule in left_out:
        print(f"rule excluded: {rule.name}: it looks for a null character, which SQL cannot hold")

    corpus = Corpus(rules, arguments.seed)
    corpus.mix(arguments.mixtures)
    events = corpus.events
    lines = [json.dumps(event, ensure_ascii=False) for event in events]
    beyond_ascii = sum(not line.isascii() for line in lines)
    mixtures = len(events) - corpus.from_rules
    print(f"events: {len(events)} ({corpus.from_rules} made for rules, {mixtures} mixtures)")
    print(f"events beyond ASCII: {beyond_ascii}")
    if arguments.keep:
        arguments.keep.write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    theirs = judged(rules, events)
    out, excluded = {}, Counter()
    compared = matched = 0
    for rule in rules:
        reasons = exclusions(rule, events)
        excluded.update({reason: len(numbers) for reason, numbers in reasons.items()})
        out[rule.name] = set().union(*reasons.values())
        verdicts, matches = len(events) - len(out[rule.name]), len(theirs[rule.name] - out[rule.name])
        compared, matched = compared + verdicts, matched + matches
        if matches in (0, verdicts):
            faults.append(f"{rule.name}: the oracle gives one verdict about every event, so nothing is compared")

    # A verdict may depend neither on the events before it nor on the rules beside it: so once in order with all rules,
    # and once in another order with the rules of each directory alone.
    shuffled = list(range(len(lines)))
    random.Random(arguments.seed).shuffle(shuffled)
    runs = [("in order", directories, list(range(len(lines))))]
    runs += [("shuffled", [directory], shuffled) for directory in directories]
    differences = {}
    for name, asked_about, order in runs:
        ours, complaints = asked(arguments.binary, asked_about, lines, order)
        faults += complaints
        unknown = ours.keys() - theirs.keys() - {rule.name for rule in left_out}
        faults += [f"{name}: unknown to the oracle" for name in sorted(unknown)]
        loaded = [rule for rule in rules if any(rule.path.is_relative_to(directory) for directory in asked_about)]
        print(f"watchbell asked with {len(loaded)} rules, events {name}")
        for rule in loaded:
            for number in (ours.get(rule.name, set()) ^ theirs[rule.name]) - out[rule.name]:
                differences.setdefault((rule, number), []).append(name)

    print(f"verdicts compared: {compared}, of which {matched} are matches")
    for replaced in oracle.REPLACED:
        print(f"not the backend's own: {replaced}")
    for reason, count in sorted(excluded.items()):
        print(f"verdicts excluded: {count}: {reason}")
    report(differences, theirs, lines)
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"took {time.monotonic() - started:.1f} s")
    return 1 if differences or faults else 0


def load(directories):
    """The detections below the directories, those that the oracle cannot judge, and what is wrong with others."""
    rules, left_out, faults = [], [], []
    for path, document in oracle.documents(directories):
        if "correlation" in document:
            continue
        try:
            rule = oracle.Rule(document, path)
        except Exception as error:  # Whatever it is, the rule is not compared, and that must be seen.
            faults.append(f"{path}: the oracle refuses {document.get('title')!r}: {error}")
            continue
        can_be_judged = not any("\0" in condition for condition in rule.conditions)
        (rules if can_be_judged else left_out).append(rule)
    for name, count in Counter(rule.name for rule in rules).items():
        if count > 1:
            faults.append(f"{name}: is the name of {count} rules")
    return rules, left_out, faults


def asked(binary, directories, lines, order):
    """Watchbell's matches when it is given the lines in this order: numbers of events by rule; and what went wrong."""
    matches = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        path.write_text("".join(lines[index] + "\n" for index in order), encoding="utf-8")
        options = [option for directory in directories for option in ("--rules", str(directory))]
        command = [binary, "rules", "match", *options, "--format", "json", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    faults = [] if done.returncode == 0 else [f"watchbell ended with status {done.returncode}"]
    faults += [f"watchbell says: {line}" for line in done.stderr.splitlines()[:20]]
    for line in done.stdout.splitlines():
        match = json.loads(line)
        matches.setdefault(match["rule"], set()).add(order[match["line"] - 1] + 1)
    return matches, faults


def judged(rules, events):
    """The oracle's matches: numbers of events, from 1, by rule."""
    fields = sorted({field for rule in rules for tree in rule.trees for field in fields_of(tree)})
    ascii_table, unicode_table = oracle.Table(fields), oracle.Table(fields, unicode=True)
    plain, other = [], []
    for number, event in enumerate(events, start=1):
        (plain if json.dumps(event, ensure_ascii=False).isascii() else other).append((number, event))
    ascii_table.add(plain)
    unicode_table.add(other)
    matches = {}
    for rule in rules:
        found = (table.matches(condition) for condition in rule.conditions for table in (ascii_table, unicode_table))
        matches[rule.name] = set().union(*found)
    return matches


def leaves(node):
    if hasattr(node, "args"):
        for part in node.args:
            yield from leaves(part)
    elif node is not None:
        yield node


def fields_of(tree):
    for leaf in leaves(tree):
        if isinstance(leaf, ConditionFieldEqualsValueExpression):
            yield leaf.field
            if isinstance(leaf.value, SigmaFieldReference):
                yield leaf.value.field


def exclusions(rule, events):
    """What the oracle cannot say of a rule: numbers of events by reason."""
    times, ends = set(), set()
    for tree in rule.trees:
        for leaf in leaves(tree):
            field = getattr(leaf, "field", None)
            if isinstance(leaf.value, SigmaTimestampPart):
                times.add(field)
            if isinstance(leaf.value, SigmaRegularExpression) and "$" in str(leaf.value.regexp):
                ends.add(field)
    out = {}
    if not times and not ends:
        return out
    for number, event in enumerate(events, start=1):
        values = {name: oracle.as_text(value) for name, value in oracle.canonical(event)}
        if any(values.get(field) is not None and oracle.time_of(values[field]) is None for field in times):
            out.setdefault("the part of a time of what is no RFC 3339 time", set()).add(number)
        looked_at = values.values() if None in ends else [values.get(oracle.canonical_name(field)) for field in ends]
        if any(value is not None and value.endswith("\n") for value in looked_at):
            out.setdefault("`$` before a line feed at the end: an end for Python, none for us", set()).add(number)
    return out


def report(differences, theirs, lines):
    print(f"differences: {len(differences)}")
    ordered = sorted(differences.items(), key=lambda item: (item[0][0].name, item[0][1]))
    for (rule, number), runs in ordered[:MAX_PRINTED]:
        matches = number in theirs[rule.name]
        other, watchbell = ("matches", "does not match") if matches else ("does not match", "matches")
        verdicts = f"watchbell {watchbell} ({' and '.join(runs)}), the oracle {other}"
        print(f"DIFFERENCE {rule.name} ({rule.path}): {verdicts}: {lines[number - 1]}")
    if len(ordered) > MAX_PRINTED:
        print(f"... and {len(ordered) - MAX_PRINTED} more")
    if ordered:
        print(f"by rule: {dict(Counter(rule.name for rule, _ in differences))}")


if __name__ == "__main__":
    sys.exit(main())
