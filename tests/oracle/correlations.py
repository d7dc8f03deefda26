"""Compares Watchbell's alerts of correlations with the occurrences that pySigma's SQLite backend finds.

    python correlations.py BINARY

The backend lists every time at which a correlation's condition holds for a group. Watchbell makes one alert of all
that belong together, so the same is done here with the backend's list, and the alerts are compared by rule, group,
beginning and end.

Exit status: 0 when all alerts agree, 1 when one differs or a rule is not compared at all, 2 for bad use.
"""

import argparse
import copy
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from sigma.backends.sqlite.runtime import execute_plan
from sigma.collection import SigmaCollection

import oracle

RULES = Path(__file__).parent / "correlations"
MAX_PRINTED = 100
# An alert is over when nothing was found for the span of its rule, and at least for this many seconds.
MIN_QUIET = 900
COMPARISONS = {"gt", "gte", "lt", "lte", "eq", "neq"}
# Correlations of which two rules may match at one time. The backend then sees one window, and we make an observation of
# each match, so of their alerts the numbers of findings are not compared.
COINCIDING = {
    "count_of_overlapping_rules",
    "distinct_of_overlapping_rules",
    "sum_of_overlapping_rules",
    "two_that_overlap",
    "ordered_that_overlap",
    "ordered_that_overlap_otherwise",
    "third_level",
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("binary", metavar="BINARY")
    arguments.add_argument("--seeds", type=int, default=24, help="number of streams [24]")
    arguments.add_argument("--first-seed", type=int, default=1, help="of the first stream [1]")
    arguments.add_argument("--events", type=int, default=1500, help="events in a stream [1500]")
    arguments.add_argument("--keep", metavar="FILE", help="write the events of the last stream there")
    arguments = arguments.parse_args()

    started = time.monotonic()
    documents = [document for _, document in oracle.documents([RULES])]
    correlations = [Correlation(document, documents) for document in documents if "correlation" in document]
    reported = [correlation for correlation in correlations if correlation.is_reported]
    print(f"correlations: {len(correlations)}, of which {len(reported)} are reported")
    compared, matches, events, excluded, seen = 0, 0, 0, Counter(), Counter()
    differences, faults = [], []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        stream = Stream(seed, arguments.events).events
        events += len(stream)
        ours, others, complaints = asked(arguments.binary, stream, arguments.keep)
        faults += complaints
        matches += others
        connection = table(stream)
        for correlation in reported:
            occurrences = correlation.occurrences(connection, stream, excluded)
            theirs = episodes(occurrences, correlation.quiet)
            mine = ours.pop(correlation.name, set())
            if correlation.name in COINCIDING:
                mine, theirs = ({(*alert[:3], "any number of") for alert in alerts} for alerts in (mine, theirs))
            compared += len(mine | theirs)
            seen[correlation.name] += len(theirs)
            differences += [(seed, correlation, alert, alert in theirs) for alert in sorted(mine ^ theirs)]
        faults += [f"seed {seed}: watchbell reports {name}, which is not to be reported" for name in ours]
    faults += [f"{c.name}: the oracle never sees it, so nothing is compared" for c in reported if not seen[c.name]]

    print(f"events: {events} in {arguments.seeds} streams")
    print(f"alerts compared: {compared}")
    print(f"alerts of single matches, which have no counterpart: {matches}")
    for reason, count in sorted(excluded.items()):
        print(f"occurrences excluded: {count}: {reason}")
    print(f"differences: {len(differences)}")
    for seed, correlation, (group, opened, last, count), is_theirs in differences[:MAX_PRINTED]:
        side = "the oracle alone" if is_theirs else "watchbell alone"
        print(f"DIFFERENCE {correlation.name}, seed {seed}: {side}: {group} from {opened} to {last}, {count} findings")
    if len(differences) > MAX_PRINTED:
        print(f"... and {len(differences) - MAX_PRINTED} more")
    if differences:
        print(f"by rule: {dict(Counter(correlation.name for _, correlation, *_ in differences))}")
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"took {time.monotonic() - started:.1f} s")
    return 1 if differences or faults else 0


# === Rules ===


class Correlation:
    """A correlation, and the plans that find it in a table of events."""

    def __init__(self, document, documents):
        self.name = document["name"]
        body = document["correlation"]
        self.kind = body["type"]
        self.group_by = body.get("group-by", [])
        self.references = body["rules"]
        number, unit = body["timespan"][:-1], body["timespan"][-1]
        self.quiet = max(int(number) * UNITS[unit], MIN_QUIET)
        condition = body.get("condition", {})
        fields = condition.get("field")
        self.fields = [fields] if isinstance(fields, str) else fields or []
        self.aliases = body.get("aliases", {})
        above = [other for other in documents if self.name in other.get("correlation", {}).get("rules", [])]
        self.is_reported = all(is_generating(other) for other in above)
        chained = {other["name"] for other in documents if "correlation" in other}
        self.is_chain = any(reference in chained for reference in self.references)
        detections = [] if self.is_chain else self.references
        self.inputs = [(name, oracle.Rule(named(name, documents), RULES)) for name in detections]
        # pySigma takes one comparison. All of several must hold of the same window, so each is asked by itself.
        comparisons = COMPARISONS & condition.keys()
        self.plans = [self._plan(documents, {comparison}) for comparison in sorted(comparisons)]
        self.plans = self.plans or [self._plan(documents, set())]

    def _plan(self, documents, comparisons):
        documents = copy.deepcopy(documents)
        for document in documents:
            if document.get("name") == self.name:
                condition = document["correlation"].get("condition", {})
                for other in COMPARISONS - comparisons:
                    condition.pop(other, None)
                # Nor does it take a list of fields; the table has a column of their values together.
                if len(self.fields) > 1:
                    condition["field"] = "+".join(self.fields)
        needed = closure(self.name, documents)
        for document in needed:
            document["generate"] = True
            document.get("correlation", {}).pop("generate", None)
        collection = SigmaCollection.from_dicts(needed)
        backend = oracle.Oracle(timestamp_field="timestamp", timestamp_format="unix")
        for rule in json.loads(backend.convert(collection, "zircolite")):
            if rule["title"] == self.name:
                return rule["correlation_plan"]
        raise AssertionError(f"no plan for {self.name}")

    def occurrences(self, connection, stream, excluded):
        """Times at which all conditions hold, by group."""
        found = None
        for plan in self.plans:
            rows, _ = execute_plan(connection, plan, include_events=False)
            times = {(self._group(row["group_keys"]), int(row["occurrence_time"])) for row in rows}
            found = times if found is None else found & times
        if self.fields and not self.is_chain:
            # A match that lacks the value is not an observation of it. To the backend it is the end of one more
            # window, over the observations before it; we judge windows when something is observed.
            observed = self._observed(connection, stream)
            blank = {item for item in found if item[1] not in observed}
            excluded["windows that end at a match without the value that is measured"] += len(blank)
            found -= blank
        occurrences = {}
        for group, at in sorted(found):
            occurrences.setdefault(group, []).append(at)
        return occurrences

    def _observed(self, connection, stream):
        """Times of matches that have the value."""
        by_time = {event["timestamp"]: event for event in stream}
        times = set()
        for name, rule in self.inputs:
            fields = [self.aliases.get(field, {}).get(name, field) for field in self.fields]
            for condition in rule.conditions:
                for (at,) in connection.execute(f"SELECT timestamp FROM logs WHERE {condition}"):
                    values = [oracle.as_text(by_time[at].get(field)) for field in fields]
                    if self.kind != "value_count":
                        values = [oracle.as_number(value) for value in values]
                    if None not in values:
                        times.add(at)
        return times

    def _group(self, keys):
        return tuple(str(keys[field]).lower() for field in self.group_by)


def is_generating(document):
    return bool(document.get("generate") or document["correlation"].get("generate"))


def named(name, documents):
    return next(document for document in documents if name in (document.get("name"), document.get("id")))


def closure(name, documents):
    """The document of this name and those it refers to."""
    needed, names = [], [name]
    while names:
        document = named(names.pop(), documents)
        if document not in needed:
            needed.append(document)
            names += document.get("correlation", {}).get("rules", [])
    return needed


def episodes(occurrences, quiet):
    """What of the occurrences belongs together: group, first time, last time, and how many there are."""
    found = set()
    for group, times in occurrences.items():
        begin = 0
        for place, at in enumerate(times):
            if place + 1 == len(times) or times[place + 1] - at > quiet:
                found.add((group, times[begin], at, place + 1 - begin))
                begin = place + 1
    return found


# === Events ===


class Stream:
    """Events in the order of time, no two at the same: what happens first at one time is nobody's to say."""

    WHO = ["ann", "Ann", "bob", "cid", 7, "7", "", None]
    PLACE = ["berlin", "Berlin", "oslo", "rome", "lima", "nowhere", None]
    TARGET = ["t1", "t2", "T2", "t3", "t4", "t5", 6, "6", "", None]
    ADDRESS = ["192.0.2.1", "192.0.2.2", "198.51.100.7", None]
    KINDS = ["failed", "succeeded", "looked_up", "moved", "other"]
    # Within a burst; and between bursts, around the spans of the rules and of quiet.
    STEPS = [1, 1, 1, 1, 2, 2, 3, 4, 5, 7]
    PAUSES = [9, 10, 11, 29, 30, 31, 59, 60, 61, 119, 120, 121, 299, 300, 301, 599, 600, 601]
    SPANS = [10, 10, 30, 30, 30, 60, 60, 60, 60, 120, 120, 120, 300, 300, 600, 3600]
    SILENCES = [898, 899, 900, 901, 902, 960, 1800, 3599, 3600, 3601, 3660, 9000]

    def __init__(self, seed, count):
        self.rng = random.Random(seed)
        self.at = 1_700_000_000
        by_time = {}
        while len(by_time) < count:
            burst = self._stretch() if self.rng.random() < 0.5 else self._burst()
            if self.rng.random() < 0.3:
                burst += self._echo(burst)
            by_time.update({at: event for at, event in burst if at not in by_time})
            self.at += self.rng.choice(self.SILENCES if self.rng.random() < 0.3 else self.PAUSES)
        self.events = [{"timestamp": at} | event for at, event in sorted(by_time.items())][:count]

    def _burst(self):
        """A few events that have much in common, so that thresholds are reached, and just not."""
        kinds = self.rng.sample(self.KINDS, self.rng.randint(1, 4))
        who = self.rng.sample(self.WHO, self.rng.randint(1, 3))
        place = self.rng.sample(self.PLACE, self.rng.randint(1, 4))
        base = self.rng.choice([0, 10, 40, 45, 70, 95])
        burst = []
        for _ in range(self.rng.randint(2, 40)):
            event = {"kind": self.rng.choice(kinds)}
            self._put(event, "who", self.rng.choice(who))
            self._put(event, "actor", self.rng.choice(who))
            self._put(event, "place", self.rng.choice(place))
            self._put(event, "target", self.rng.choice(self.TARGET))
            self._put(event, "c-ip", self.rng.choice(self.ADDRESS))
            self._put(event, "amount", self._amount(base))
            burst.append((self.at, event))
            self.at += self.rng.choice(self.STEPS)
        return burst

    def _stretch(self):
        """A few events about one subject, that just fit into a window or just do not."""
        span = self.rng.choice(self.SPANS) + self.rng.choice([-1, 0, 0, 1])
        between = self.rng.sample(range(1, span), min(span - 1, self.rng.choice([0, 1, 1, 2, 2, 3, 4, 6, 10])))
        who, place = self.rng.choice(self.WHO[:6]), self.rng.sample(self.PLACE[:6], self.rng.choice([1, 1, 4]))
        kinds = self.rng.sample(self.KINDS, self.rng.choice([1, 1, 2, 3]))
        base = self.rng.choice([0, 10, 40, 45, 70, 95])
        burst = []
        for after in [0, *sorted(between), span]:
            event = {"kind": self.rng.choice(kinds), "who": who, "actor": who, "place": self.rng.choice(place)}
            event |= {"target": self.rng.choice(self.TARGET[:-1]), "c-ip": self.rng.choice(self.ADDRESS[:-1])}
            event["amount"] = self._amount(base)
            burst.append((self.at + after, event))
        self.at += span
        return burst

    def _echo(self, burst):
        """Some of the events again, at the very end of the windows that the first ones open, or a second beside."""
        shift = self.rng.choice(self.SPANS) + self.rng.choice([-1, 0, 0, 1])
        again = self.rng.sample(burst, self.rng.randint(1, len(burst)))
        return [(at + shift, dict(event, target=self.rng.choice(self.TARGET[:-1]))) for at, event in again]

    def _put(self, event, name, value):
        if value is not None or self.rng.random() < 0.5:
            event[name] = value

    def _amount(self, base):
        # Whole numbers and quarters, whose sums are exact in any order.
        amount = base + self.rng.choice([-30, -12, -1, 0, 0.25, 0.5, 1, 2, 5, 10])
        kind = self.rng.random()
        if kind < 0.7:
            return amount
        if kind < 0.85:
            return str(amount)
        return None if kind < 0.95 else "unknown"


def table(stream):
    """The events as a table: text as `oracle.as_text` has it, and the time as a number."""
    connection = sqlite3.connect(":memory:")
    names = ["who", "actor", "place", "target", "c-ip", "amount", "kind"]
    pair = "place+target"
    columns = ", ".join(f'"{name}" TEXT' for name in [*names, pair, oracle.RAW, oracle.PRESENT])
    connection.execute(f"CREATE TABLE logs (timestamp INTEGER, {columns})")
    for event in stream:
        values = [oracle.as_text(event.get(name)) for name in names]
        together = [oracle.as_text(event.get(name)) for name in pair.split("+")]
        together = None if None in together else "\x1f".join(together)
        present = "\n" + "\n".join(event) + "\n"
        row = [event["timestamp"], *values, together, "", present]
        connection.execute(f"INSERT INTO logs VALUES ({', '.join('?' * len(row))})", row)
    return connection


def asked(binary, stream, keep):
    """Watchbell's alerts of correlations by rule, the number of its other alerts, and what went wrong."""
    alerts, others, faults = {}, 0, []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(keep or Path(folder) / "events.jsonl")
        path.write_text("".join(json.dumps(event) + "\n" for event in stream), encoding="utf-8")
        command = [binary, "replay", "--no-builtin-rules", "--rules", str(RULES), "--output", "ndjson"]
        done = subprocess.run([*command, "--format", "json", str(path)], capture_output=True, text=True)
    if done.returncode != 0:
        faults.append(f"watchbell ended with status {done.returncode}: {done.stderr[:2000]}")
    for line in done.stdout.splitlines():
        alert = json.loads(line)
        if alert["condition"]["type"] == "match":
            others += 1
            continue
        group = tuple(str(value).lower() for value in alert["subject"].values())
        times = seconds(alert["opened_at"]), seconds(alert["last_seen_at"])
        episode = (group, *times, alert["evidence"]["findings"])
        alerts.setdefault(alert["rule"]["name"], set()).add(episode)
    return alerts, others, faults


def seconds(text):
    return int(datetime.fromisoformat(text).timestamp())


if __name__ == "__main__":
    sys.exit(main())
