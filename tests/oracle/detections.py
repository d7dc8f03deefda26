"""Compares Watchbell's verdicts about single events with those of pySigma's SQLite backend.

    python detections.py BINARY RULES_DIR...

Exit status: 0 when all verdicts agree, 1 when one differs or a rule is not compared at all, 2 for bad use.
"""

import argparse
import json
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

MAX_PRINTED = 100


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("binary", metavar="BINARY")
    arguments.add_argument("directories", metavar="RULES_DIR", nargs="+")
    arguments.add_argument("--seed", type=int, default=1, help="of the corpus [1]")
    arguments.add_argument("--mixtures", type=int, default=20000, help="random events [20000]")
    arguments.add_argument("--keep", metavar="FILE", help="write the events there")
    arguments = arguments.parse_args()

    started = time.monotonic()
    rules, left_out, faults = load(arguments.directories)
    corpus = Corpus(rules, arguments.seed)
    corpus.mix(arguments.mixtures)
    events = corpus.events
    lines = [json.dumps(event, ensure_ascii=False) for event in events]
    print(f"rules: {len(rules)}")
    for rule in left_out:
        print(f"rule excluded: {rule.name}: it looks for a null character, which SQL cannot hold")
    print(f"events: {len(events)} ({corpus.from_rules} made for rules, {len(events) - corpus.from_rules} mixtures)")

    theirs = judged(rules, events)
    compared, matched, differences, excluded = 0, 0, [], Counter()
    out = {}
    for rule in rules:
        reasons = exclusions(rule, events)
        excluded.update({reason: len(numbers) for reason, numbers in reasons.items()})
        out[rule.name] = set().union(*reasons.values())
        judged_events = len(events) - len(out[rule.name])
        matches = len(theirs[rule.name] - out[rule.name])
        compared += judged_events
        matched += matches
        if matches in (0, judged_events):
            faults.append(f"{rule.name}: the oracle gives one verdict about every event, so nothing is compared")

    # A verdict must depend neither on the events before it nor on the rules beside it: once in order with all rules,
    # then in another order with the rules of each directory.
    runs = [(arguments.directories, list(range(len(lines))))]
    for directory in arguments.directories:
        order = list(range(len(lines)))
        random.Random(arguments.seed).shuffle(order)
        runs.append(([directory], order))
    for directories, order in runs:
        ours, complaints = asked(arguments.binary, directories, lines, order, arguments.keep)
        faults += complaints
        unknown = set(ours) - set(theirs) - {rule.name for rule in left_out}
        faults += [f"{name}: unknown to the oracle" for name in sorted(unknown)]
        loaded = [rule for rule in rules if any(rule.path.is_relative_to(directory) for directory in directories)]
        for rule in loaded:
            differing = (ours.get(rule.name, set()) ^ theirs[rule.name]) - out[rule.name]
            differences += [(rule, number) for number in sorted(differing)]
        print(f"watchbell asked with {len(loaded)} rules, events {'in order' if directories is arguments.directories else 'shuffled'}")

    print(f"verdicts compared: {compared}, of which {matched} are matches")
    for replaced in oracle.REPLACED:
        print(f"not the backend's own: {replaced}")
    for reason, count in sorted(excluded.items()):
        print(f"verdicts excluded: {count}: {reason}")
    print(f"differences: {len(differences)}")
    for rule, number in differences[:MAX_PRINTED]:
        matches = number in theirs[rule.name]
        other, watchbell = ("matches", "does not match") if matches else ("does not match", "matches")
        print(f"DIFFERENCE {rule.name} ({rule.path}): watchbell {watchbell}, the oracle {other}: {lines[number - 1]}")
    if len(differences) > MAX_PRINTED:
        print(f"... and {len(differences) - MAX_PRINTED} more: {dict(Counter(rule.name for rule, _ in differences))}")
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"took {time.monotonic() - started:.1f} s")
    return 1 if differences or faults else 0


def load(directories):
    """The detections below the directories, names of those that the oracle cannot judge, and what is wrong with
    others."""
    rules, left_out, faults = [], [], []
    for path, document in oracle.documents(directories):
        if "correlation" in document:
            continue
        try:
            rule = oracle.Rule(document, path)
            can_be_judged = not any("\0" in condition for condition in rule.conditions)
            (rules if can_be_judged else left_out).append(rule)
        except Exception as error:  # Whatever it is, the rule is not compared, and that must be seen.
            faults.append(f"{path}: the oracle refuses {document.get('title')!r}: {error}")
    for name, count in Counter(rule.name for rule in rules).items():
        if count > 1:
            faults.append(f"{name}: is the name of {count} rules")
    return rules, left_out, faults


def asked(binary, directories, lines, order, keep):
    """Watchbell's matches, the lines being given in this order: numbers of events by rule."""
    matches, faults = {}, []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(keep or Path(folder) / "events.jsonl")
        path.write_text("".join(lines[index] + "\n" for index in order), encoding="utf-8")
        options = [option for directory in directories for option in ("--rules", str(directory))]
        done = subprocess.run(
            [binary, "rules", "match", *options, "--format", "json", str(path)], capture_output=True, text=True
        )
    if done.returncode != 0:
        faults.append(f"watchbell ended with status {done.returncode}")
    faults += [f"watchbell says: {line}" for line in done.stderr.splitlines()[:20]]
    for line in done.stdout.splitlines():
        match = json.loads(line)
        matches.setdefault(match["rule"], set()).add(order[match["line"] - 1] + 1)
    return matches, faults


def judged(rules, events):
    """The oracle's matches: numbers of lines by rule."""
    fields = sorted({field for rule in rules for tree in rule.trees for field in fields_of(tree)})
    ascii_table, unicode_table = oracle.Table(fields), oracle.Table(fields, unicode=True)
    numbered = list(enumerate(events, start=1))
    is_ascii = [json.dumps(event, ensure_ascii=False).isascii() for event in events]
    ascii_table.add(item for item, plain in zip(numbered, is_ascii) if plain)
    unicode_table.add(item for item, plain in zip(numbered, is_ascii) if not plain)
    print(f"events beyond ASCII: {is_ascii.count(False)}")
    return {
        rule.name: set().union(
            *(table.matches(condition) for condition in rule.conditions for table in (ascii_table, unicode_table))
        )
        for rule in rules
    }


def leaves(node):
    if node is None:
        return
    if hasattr(node, "args"):
        for part in node.args:
            yield from leaves(part)
    else:
        yield node


def fields_of(tree):
    for leaf in leaves(tree):
        if isinstance(leaf, ConditionFieldEqualsValueExpression):
            yield leaf.field
            if isinstance(leaf.value, SigmaFieldReference):
                yield leaf.value.field


def exclusions(rule, events):
    """What the oracle cannot say of a rule: numbers of events by reason."""
    out = {}
    of_times, of_lines = set(), set()
    for tree in rule.trees:
        for leaf in leaves(tree):
            field = getattr(leaf, "field", None)
            if isinstance(leaf.value, SigmaTimestampPart):
                of_times.add(field)
            if isinstance(leaf.value, SigmaRegularExpression) and "$" in str(leaf.value.regexp):
                of_lines.add(field)
    if not of_times and not of_lines:
        return out
    for number, event in enumerate(events, start=1):
        values = {name: oracle.as_text(value) for name, value in oracle.flattened(event)}
        for field in of_times:
            if values.get(field) is not None and oracle.time_of(values[field]) is None:
                out.setdefault("the part of a time of what is no RFC 3339 time", set()).add(number)
        for field in of_lines:
            of_interest = values.values() if field is None else [values.get(field)]
            if any(value is not None and value.endswith("\n") for value in of_interest):
                out.setdefault("`$` before a line feed at the end: an end for Python, none for us", set()).add(number)
    return out


if __name__ == "__main__":
    sys.exit(main())
