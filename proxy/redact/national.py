"""National identity and tax numbers, each with its own check.

Forms that look like nothing else are taken wherever they stand.  A plain run
of digits is one only after a word that says so, because one in ten or eleven
passes the check by chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from stdnum import get_cc_module

from proxy.redact.detector import Detector, Judge

_NINO: Final = re.compile(rb"(?i)(?!bg|gb|kn|nk|nt|tn|zz)[a-ceghj-prstw-z][a-ceghj-nprstw-z]")


def _checked(country: str, name: str) -> Judge:
    module: Any = get_cc_module(country, name)
    is_valid: Callable[[str], bool] = module.is_valid
    return lambda text: len(text) if is_valid(text.decode()) else 0


def _nino(text: bytes) -> int:
    return len(text) if _NINO.match(text) else 0


def _said(words: str) -> str:
    return rf"(?i:\b(?:{words}))(?:[ ._:#°()-]{{0,3}}(?i:is|no|nr|number|nummer|num|n°|ist|est|es)?){{0,2}}[ .:#=]{{0,3}}"


_PLAIN: Final = (
    # country, module of python-stdnum, pattern
    ("es", "dni", r"\b\d{8}-?[A-HJ-NP-TV-Z]\b"),
    ("es", "nie", r"\b[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]\b"),
    ("it", "codicefiscale", r"\b[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]\b"),
    ("fr", "nir", r"\b[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}\b"),
    ("be", "nn", r"\b\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}\b"),
    ("se", "personnummer", r"\b(?:19|20)?\d{6}[-+]\d{4}\b"),
    ("fi", "hetu", r"\b\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]\b"),
    ("br", "cpf", r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b"),
    ("in_", "pan", r"\b[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]\b"),
    ("in_", "aadhaar", r"\b[2-9]\d{3} \d{4} \d{4}(?: \d{1,4})*\b"),
    ("cn", "ric", r"\b[1-9]\d{5}(?:19|20)\d{9}[0-9Xx]\b"),
    ("kr", "rrn", r"\b\d{6}-[1-8]\d{6}\b"),
    ("mx", "curp", r"\b[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d\b"),
    ("cl", "rut", r"\b\d{1,2}\.\d{3}\.\d{3}-[0-9kK]\b"),
    ("ch", "ssn", r"\b756\.\d{4}\.\d{4}\.\d{2}\b"),
    ("no", "fodselsnummer", r"\b\d{6} \d{5}\b"),
    ("ca", "sin", r"\b\d{3}-\d{3}-\d{3}\b"),
)  # fmt: skip

_SAID: Final = (
    # country, module, words before it, pattern
    ("de", "idnr", "steuer-?id(?:entifikationsnummer)?|idnr|tax id|steuernummer",
     r"\d{2} ?\d{3} ?\d{3} ?\d{3}\b"),
    ("nl", "bsn", "bsn|burgerservicenummer|sofi(?:nummer)?", r"\d{4}[. ]?\d{2}[. ]?\d{3}\b|\d{9}\b"),
    ("pl", "pesel", "pesel", r"\d{11}\b"),
    ("dk", "cpr", "cpr|personnummer", r"\d{6}[- ]?\d{4}\b"),
    ("no", "fodselsnummer", "fødselsnummer|fodselsnummer|fnr|personnummer", r"\d{6} ?\d{5}\b"),
    ("se", "personnummer", "personnummer|pnr", r"(?:19|20)?\d{6}[-+]?\d{4}\b"),
    ("pt", "nif", "nif|contribuinte", r"\d{3} ?\d{3} ?\d{3}\b"),
    ("br", "cpf", "cpf", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}\b"),
    ("in_", "aadhaar", "aadhaar|aadhar|uidai", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}\b"),
    ("ca", "sin", "sin|social insurance(?: number)?", r"\d{3}[ -]?\d{3}[ -]?\d{3}\b"),
    ("au", "tfn", "tfn|tax file(?: number)?", r"\d{3} ?\d{3} ?\d{2,3}\b"),
    ("gb", "nhs", "nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}\b"),
    ("gb", "utr", "utr|unique taxpayer reference", r"\d{5} ?\d{5}\b"),
    ("za", "idnr", "south african id|id|identity", r"\d{6} ?\d{4} ?\d{3}\b"),
    ("ie", "pps", "pps|ppsn", r"\d{7}[A-W][A-IW]?\b"),
    ("be", "nn", "rijksregisternummer|registre national|national number|nn", r"\d{11}\b"),
    ("fr", "nir", "nir|sécurité sociale|sécu|insee",
     r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}\b"),
    ("es", "dni", "dni|nif", r"\d{8}[ -]?[A-Za-z]\b"),
    ("ch", "ssn", "ahv|avs", r"756\.?\d{4}\.?\d{4}\.?\d{2}\b"),
    ("kr", "rrn", "rrn|주민등록번호", r"\d{6}-?\d{7}\b"),
    ("cl", "rut", "rut", r"\d{1,2}\.?\d{3}\.?\d{3}-?[0-9kK]\b"),
    ("tr", "tckimlik", "t\\.?c\\.? kimlik|kimlik|tckn", r"\d{11}\b"),
)  # fmt: skip

DETECTORS: Final = (
    Detector(
        kind="national_id", form="gb nino", judge=_nino, rank=4,
        pattern=r"(?i:\b[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b)",
    ),
    *(
        Detector(
            kind="national_id", form=f"{country.strip('_')} {name}", pattern=pattern, rank=4,
            judge=_checked(country.strip("_"), name),
        )
        for country, name, pattern in _PLAIN
    ),
    *(
        Detector(
            kind="national_id", form=f"{country.strip('_')} {name} in context", rank=5,
            pattern=_said(words), value=f"(?:{pattern})", judge=_checked(country.strip("_"), name),
        )
        for country, name, words, pattern in _SAID
    ),
)  # fmt: skip
