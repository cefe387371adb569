"""Numbers and addresses that name a person, an account or a machine."""

from __future__ import annotations

import ipaddress
import re
from hashlib import sha256
from typing import Final

from stdnum import bitcoin, iban, luhn
from stdnum.exceptions import ValidationError
from stdnum.us import itin, ssn

from proxy.redact.detector import Detector, digits_of, shortened

_IINS: Final = (
    # first digits from, to, lengths
    (4, 4, (13, 16, 19)), (51, 55, (16,)), (2221, 2720, (16,)), (34, 34, (15,)), (37, 37, (15,)),
    (6011, 6011, (16, 19)), (644, 659, (16, 19)), (35, 35, (16, 19)), (300, 305, (14,)),
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


_IBANS: Final = dict(
    pair.split(b":")
    for pair in (
        b"AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28"
        b" CZ:24 DE:22 DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23"
        b" GL:18 GR:27 GT:28 HN:28 HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28"
        b" LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 MK:19 MN:20 MR:27 MT:31 MU:30 NI:28"
        b" NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 SC:31 SD:18 SE:24 SI:19"
        b" SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 YE:30"
    ).split()
)
"""Signs of an IBAN by country."""

_IN_36: Final = {ord("A") + i: str(10 + i) for i in range(26)}


def _iban(text: bytes) -> int:
    length = int(_IBANS.get(text[:2].upper(), 0))
    sign = text.translate(None, b" -").upper()[:length]
    # The remainder first: it costs a tenth of the country's own rules.
    if len(sign) < length or not length:
        return 0
    number = (sign[4:] + sign[:4]).decode().translate(_IN_36)
    if int(number) % 97 != 1 or not iban.is_valid(sign.decode()):
        return 0
    end = seen = 0
    while seen < length:
        seen += text[end] not in b" -"
        end += 1
    return 0 if text[end : end + 1].isalnum() else end


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


def _before_at(text: bytes) -> int:
    return text.rindex(b"@")


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


_BITCOIN: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE: Final = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_MONERO: Final = 95


def _base58(text: bytes) -> int:
    """An address of another coin: in base 58, ended by four bytes of its hash."""
    if len(text) == _MONERO:
        return len(text)
    alphabet = _RIPPLE if text.startswith(b"r") else _BITCOIN
    number = 0
    for sign in text:
        number = number * 58 + alphabet.index(sign)
    raw = number.to_bytes(25, "big") if number.bit_length() <= 200 else b""
    check = sha256(sha256(raw[:-4]).digest()).digest()[:4]
    return len(text) if raw and raw[-4:] == check else 0


def _pair(text: bytes) -> int:
    latitude, longitude = (float(part.strip(b" \t\xc2\xb0")) for part in text.split(b","))
    return len(text) if abs(latitude) <= 90 and abs(longitude) <= 180 else 0


_HEX: Final = "[0-9A-Fa-f]"
_B58: Final = "[1-9A-HJ-NP-Za-km-z]"
_LETTER: Final = r"A-Za-z0-9\x{C0}-\x{24F}"

_VERSION: Final = re.compile(
    rb"(?i)(?:section|chapter|version|release|clause|rule|paragraph|\xc2\xa7|\bv|\bver|\brev)[ .]?\Z|[0-9]\.\Z"
)

DETECTORS: Final = (
    Detector(
        kind="email", form="address", judge=_email, rank=3,
        pattern=rf"(?:\b|[\x{{C0}}-\x{{24F}}])[{_LETTER}][{_LETTER}._%+'-]{{0,63}}@[{_LETTER}-]+(?:\.[{_LETTER}-]+)*\.[A-Za-z]{{2,24}}\b",
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
        kind="ip_address", form="v4", judge=_ip4, rank=3, unless=_VERSION,
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
        pattern=r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://",
        value=r"""[^\s/:@"'<>\\]*:[^\s/@"'<>\\]+@""", judge=_before_at,
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
