"""Precision and recall of every kind over the corpus; ``make quality`` prints them."""

from collections import Counter

from proxy.redact.scan import scan
from tests.quality.corpus import Corpus
from tests.redaction import KINDS, ruleset

STRUCTURED = (
    "email", "phone", "credit_card", "iban", "us_ssn", "national_id", "ip_address", "mac",
    "url_credentials", "birth_date", "passport", "crypto_address", "coordinates", "secrets",
)  # fmt: skip


def measure(count=200, seed=7, show=0):
    """For each kind its precision and recall."""
    source = ruleset(KINDS).source
    right, wrong, missed = Counter(), Counter(), Counter()
    shown = Counter()
    for labelled in Corpus(seed).texts(count):
        found, _ = scan(source, labelled.text, 0, is_final=True)
        left = list(labelled.spans)
        for one in found:
            hit = next((s for s in left if overlaps(s, one) and is_same(s[2], one.kind)), None)
            if hit is not None:
                left.remove(hit)
                right[hit[2]] += 1
            elif not any(overlaps(s, one) for s in labelled.spans):
                wrong[one.kind] += 1
                if shown["+" + one.kind] < show:
                    shown["+" + one.kind] += 1
                    print(
                        "+",
                        one.kind,
                        one.form,
                        repr(labelled.text[one.start : one.end]),
                        "in",
                        repr(labelled.text),
                    )
            else:
                wrong[one.kind] += not any(is_same(s[2], one.kind) for s in labelled.spans)
                if shown["~" + one.kind] < show:
                    shown["~" + one.kind] += 1
                    print(
                        "~",
                        one.kind,
                        one.form,
                        repr(labelled.text[one.start : one.end]),
                        "for",
                        labelled.spans,
                        repr(labelled.text),
                    )
        for start, end, kind in left:
            missed[kind] += 1
            if shown["-" + kind] < show:
                shown["-" + kind] += 1
                print("-", kind, repr(labelled.text[start:end]), "in", repr(labelled.text))
    return {
        kind: (
            right[kind] / max(1, right[kind] + wrong[kind]),
            right[kind] / max(1, right[kind] + missed[kind]),
        )
        for kind in (*STRUCTURED, "person")
    }


def overlaps(span, one):
    return span[0] < one.end and one.start < span[1]


def is_same(label, kind):
    """Credentials of a URL are a secret by either name."""
    return label == kind or {label, kind} == {"url_credentials", "secrets"}


if __name__ == "__main__":
    import sys

    figures = measure(show=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f"{'kind':<18}precision  recall")
    for name, (precision, recall) in figures.items():
        print(f"{name:<18}{precision:>9.3f}{recall:>8.3f}")
