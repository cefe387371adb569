"""How many labelled pairs the lexical guard lets through: ``python -m tests.semantic.measure``."""

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import orjson

from proxy.semantic import alike
from proxy.semantic.alike import LexicalGuard

PAIRS = Path(__file__).parent / "pairs.jsonl"
LEXICON = Path(alike.__file__).parent / "lexicon.yaml"


@dataclass
class Tally:
    """Pairs of a kind, and those that the guard judged otherwise than their label."""

    count: int = 0
    passed: int = 0
    wrong: list = field(default_factory=list)


def guard():
    return LexicalGuard(LEXICON.read_bytes())


def pairs(path=PAIRS):
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]


def measure(labelled):
    """Tallies by whether the pair asks the same, and by kind."""
    judge = guard()
    tallies = defaultdict(Tally)
    for pair in labelled:
        why = judge.why_different(pair["a"], pair["b"])
        for kind in (pair["kind"], "all"):
            tally = tallies[pair["same"], kind]
            tally.count += 1
            tally.passed += not why
            if bool(why) == pair["same"]:
                tally.wrong.append((why, pair["a"], pair["b"]))
    return tallies


def main():
    labelled = pairs(Path(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
    tallies = measure(labelled)
    for (is_same, kind), tally in sorted(tallies.items(), reverse=True):
        label = "same" if is_same else "different"
        print(f"{label:9} {kind:14} {tally.count:4} pairs, {tally.passed:4} let through "
              f"({tally.passed / tally.count:.1%})")  # fmt: skip
    judge = guard()
    start = perf_counter()
    for _ in range(10):
        for pair in labelled:
            judge.why_different(pair["a"], pair["b"])
    print(f"{(perf_counter() - start) / len(labelled) * 1e5:.1f} µs a pair")
    for is_same in (True, False):
        for why, one, other in tallies[is_same, "all"].wrong:
            print(f"{'missed' if is_same else 'FALSE HIT'} {why}: {one} | {other}")


if __name__ == "__main__":
    main()
