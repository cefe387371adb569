"""Numbers and addresses that name a person, an account or a machine."""

from __future__ import annotations

import ipaddress
from typing import Final

from stdnum import bitcoin, iban, luhn
from stdnum.exceptions import ValidationError
from stdnum.us import itin, ssn

from proxy.redact.detector import Detector, digits_of, shortened

_IINS: Final = (
    # first digits from, to, lengths
    (4, 4, (13, 16, 19)), (51, 55, (16,)), (2221, 2720, (16,)), (34, 34, (15,)), (37, 37, (15,)),
    (6011, 6011, (16, 19)), (644, 659, (16, 19)), (3528, 3589, (16, 19)), (300, 305, (14,)),
    (36, 36, (14,)), (38, 39, (14,)), (62, 62, (16, 17, 18, 19)), (2200, 2204, (16,)),
    (50, 50, (12, 13, 14, 15, 16, 17, 18, 19)), (56, 58, (12, 13, 14, 15, 16, 17, 18, 19)),
    (60, 61, (12, 13, 14, 15, 16, 17, 18, 19)), (63, 63, (12, 13, 14, 15, 16, 17, 18, 19)),
    (67, 69, (12, 13, 14, 15, 16, 17, 18, 19)),
)  # fmt: skip
"""Ranges that card networks issue: a tenth of all numbers has a good check digit."""


def is_card(text: bytes) -> bool:
    """A card number: of a network, of its length, with a good check digit."""
    digits = digits_of(text)
    if len(set(digits)) < 2 or not luhn.is_valid(digits):
        return False
    return any(
        first <= int(digits[: len(str(first))]) <= last and len(digits) in lengths
        for first, last, lengths in _IINS
    )


def _card(text: bytes) -> int:
    return shortened(text, is_card)


def _is_iban(text: bytes) -> bool:
    return bool(iban.is_valid(text.decode()))


def _iban(text: bytes) -> int:
    return shortened(text, _is_iban, b" -")


def _ssn(text: bytes) -> int:
    number = digits_of(text)
    shown = f"{number[:3]}-{number[3:5]}-{number[5:]}"
    return len(text) if ssn.is_valid(shown) or itin.is_valid(shown) else 0


def _ip4(text: bytes) -> int:
    if text.count(b".") != 3:
        return 0  # a version or a section number
    return _ip(text)


def _ip6(text: bytes) -> int:
    # Without a digit it is rather a name with its scopes.
    if not any(48 <= b <= 57 for b in text):
        return 0
    return shortened(text, lambda t: bool(_ip(t)), b":")


def _ip(text: bytes) -> int:
    try:
        address = ipaddress.ip_address(text.decode())
    except ValueError:
        return 0
    return 0 if address.is_loopback or address.is_unspecified else len(text)


def _email(text: bytes) -> int:
    local, _, domain = text.partition(b"@")
    is_good = len(local) <= 64 and b".." not in local and b".." not in domain
    return len(text) if is_good and len(domain) <= 253 else 0


def _coin(text: bytes) -> int:
    try:
        bitcoin.validate(text.decode())
    except ValidationError:
        return 0
    return len(text)


def _base58(text: bytes) -> int:
    """A mixed run of base 58, as other coins write theirs."""
    has = (any(48 <= b <= 57 for b in text), any(97 <= b <= 122 for b in text),
           any(65 <= b <= 90 for b in text))  # fmt: skip
    return len(text) if all(has) else 0


def _pair(text: bytes) -> int:
    latitude, longitude = (float(part.strip(b" \t\xc2\xb0")) for part in text.split(b","))
    return len(text) if abs(latitude) <= 90 and abs(longitude) <= 180 else 0


_HEX: Final = "[0-9A-Fa-f]"
_B58: Final = "[1-9A-HJ-NP-Za-km-z]"
_LETTER: Final = r"A-Za-z0-9\x{C0}-\x{24F}"

DETECTORS: Final = (
    Detector(
        kind="email", form="address", judge=_email, rank=3,
        pattern=rf"(?:\b|[\x{{C0}}-\x{{24F}}])[{_LETTER}][{_LETTER}._%+'-]*@[{_LETTER}-]+(?:\.[{_LETTER}-]+)*\.[A-Za-z]{{2,24}}\b",
    ),
    Detector(
        kind="credit_card", form="number", judge=_card, rank=4,
        pattern=r"\b[2-6]\d{3}(?:[ .-]?\d{4}){2}[ .-]?\d{1,4}(?:[ .-]?\d{1,3})?\b"
        r"|\b3\d{3}[ .-]?\d{6}[ .-]?\d{4,5}\b",
    ),
    Detector(
        kind="iban", form="number", judge=_iban, rank=5,
        pattern=r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\b",
    ),
    Detector(
        kind="us_ssn", form="written", judge=_ssn, rank=4,
        pattern=r"\b\d{3}-\d{2}-\d{4}\b|\b\d{3} \d{2} \d{4}\b|\b\d{3}\.\d{2}\.\d{4}\b",
    ),
    Detector(
        kind="us_ssn", form="in context", judge=_ssn, rank=4,
        pattern=r"(?i:\b(?:ssn|social security(?: (?:number|no))?|itin|tax ?id))\W{0,4}"
        r"(?:(?i:is|number|no)\W{1,3})?",
        value=r"\d{3}[ .-]?\d{2}[ .-]?\d{4}\b",
    ),
    Detector(
        kind="ip_address", form="v4", judge=_ip4, rank=3,
        pattern=r"\b\d{1,3}(?:\.\d{1,3}){3}(?:\.\d+)*\b",
    ),
    Detector(
        kind="ip_address", form="v6", judge=_ip6, rank=3,
        pattern=rf"\b{_HEX}{{1,4}}(?::{_HEX}{{0,4}}){{2,7}}(?:(?:\.\d{{1,3}}){{3}})?"
        rf"|::(?:{_HEX}{{1,4}}:){{0,6}}{_HEX}{{1,4}}\b",
    ),
    Detector(
        kind="mac", form="address", rank=4,
        pattern=rf"\b{_HEX}{{2}}(?:[:-]{_HEX}{{2}}){{5}}\b|\b{_HEX}{{4}}\.{_HEX}{{4}}\.{_HEX}{{4}}\b",
    ),
    Detector(
        kind="url_credentials", form="userinfo", rank=3,
        pattern=r"\b[A-Za-z][A-Za-z0-9+.-]*://",
        value=r"""[^\s/:@"'<>\\]*:[^\s/@"'<>\\]+@""",
    ),
    Detector(kind="crypto_address", form="bitcoin", judge=_coin, rank=4,
             pattern=rf"\b[13]{_B58}{{25,34}}\b|\bbc1[a-z0-9]{{25,87}}\b"),
    Detector(kind="crypto_address", form="ethereum", rank=4, pattern=rf"\b0x{_HEX}{{40}}\b"),
    Detector(
        kind="crypto_address", form="other", judge=_base58, rank=2,
        pattern=rf"\b(?:[LMD]{_B58}{{33}}|T{_B58}{{33}}|r{_B58}{{24,34}}|4[0-9AB]{_B58}{{93}})\b",
    ),
    Detector(
        kind="coordinates", form="pair", judge=_pair, rank=3,
        pattern=r"-?\b\d{1,2}\.\d{3,}°?,\s{0,2}-?\d{1,3}\.\d{3,}\b",
    ),
    Detector(
        kind="coordinates", form="degrees", rank=3,
        pattern=r"\b\d{1,3}°\s?\d{1,2}['′’]\s?(?:\d{1,2}(?:\.\d+)?(?:\"|″|”|'')\s?)?[NSEWO]\b",
    ),
    Detector(
        kind="coordinates", form="in context", rank=3,
        pattern=r"(?i:\b(?:lat|lon|lng|long|latitude|longitude))\"?\s{0,2}(?:[:=]|is)\s{0,2}",
        value=r"-?\d{1,3}\.\d{3,}\b",
    ),
)  # fmt: skip
