"""What is said of people in words: names, births, documents, telephones.

Names by their titles only: who is a person without one needs a model, which
is what an ``http`` detector is for.
"""

from __future__ import annotations

from typing import Final

import phonenumbers

from proxy.redact.detector import Detector, digits_of, shortened


def _is_international(text: bytes) -> bool:
    shown = text.decode()
    if shown.startswith("00"):
        shown = "+" + shown[2:]
    try:
        number = phonenumbers.parse(shown.replace("(0)", ""), None)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(number)) and number.country_code in _CODES


def _international(text: bytes) -> int:
    return shortened(text, _is_international) if 8 <= len(digits_of(text)) <= 20 else 0


_CODES: Final = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


def _american(text: bytes) -> int:
    digits = digits_of(text.split(b"x")[0].split(b"e")[0])[-10:]
    # Neither area nor exchange begins with 0 or 1.
    return len(text) if digits[0] not in "01" and digits[3] not in "01" else 0


def _in_context(text: bytes) -> int:
    return len(text) if 6 <= len(digits_of(text)) <= 18 else 0


def _document(text: bytes) -> int:
    return len(text) if len(digits_of(text)) >= 4 else 0


_EXTENSION: Final = r"(?: ?(?:x|ext\.? ?)\d{1,6}\b)?"
_CALL: Final = (
    r"(?i:\b(?:tele)?phones?|\btel|\bmobil[ei]?|\bcell(?:ulare?)?|\bcall|\bfax|\bwhatsapp|\bsms"
    r"|\btext|\bring|\bhandy|\btelefono?|\bteléfono|\btéléphone|\btél|\bcellulare|\bportable"
    r"|\brufnummer|\bmóvil|\btelefoonnummer|\bcontact|\breach|\bphone ?number|\btelefonnummer)"
)
_NUMBER_IS: Final = r"(?:[ ._:#-]{0,3}(?i:is|at|on|me|us|him|her|them|no|nr|number|nummer|num|unter|au|al|el)?){0,3}[ .:#]{0,3}"
_UPPER: Final = r"A-ZÀ-ÖØ-Þ\x{100}-\x{17F}Α-ΩА-Я"
_ANY: Final = r"A-Za-zÀ-ÖØ-öø-\x{24F}Α-ώА-я"
"""Letters of Europe: RE2's own classes of letters are programs of thousands of steps."""

_DAY: Final = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|\.|er|º)? (?:de |of )?[{_ANY}]{{3,10}}\.?,? (?:de |del )?\d{{4}}"
    rf"|[{_UPPER}][{_ANY}]{{2,9}}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})\b"
)
_BORN: Final = (
    r"(?i:\b(?:born(?: on)?|d\.?o\.?b|date of birth|birth ?date|birthday|geboren(?: am)?"
    r"|geburtsdatum|geb|née? le|date de naissance|fecha de nacimiento|nacid[oa] el"
    r"|data di nascita|nat[oa] il|geboortedatum))"
)
_NUMBER_WORD: Final = (
    r"(?:[ ._'’-]{0,2}(?i:no|nr|number|num|n°|nummer|nº|numéro|número|id|card|#))?"
)
_IS: Final = r"[ .:#=\"]{0,4}(?:(?i:is|ist|est|es|was|lautet)[ :]{1,2})?"
_NAME: Final = rf"[{_UPPER}][{_ANY}'’]*(?:-[{_UPPER}][{_ANY}'’]*)*"

DETECTORS: Final = (
    Detector(
        kind="phone", form="international", judge=_international, rank=3,
        pattern=rf"(?:\+|\b00)[1-9]\d{{0,2}}[ ./-]?(?:\(\d{{1,5}}\)[ ./-]?)?\d{{1,5}}(?:[ ./()-]{{0,2}}\d{{1,8}}){{1,6}}{_EXTENSION}",
    ),
    Detector(
        kind="phone", form="american", judge=_american, rank=2,
        pattern=rf"(?:\b(?:\+?1|001)[ .-]?)?(?:\(\d{{3}}\)[ .-]?|\b\d{{3}}[.-])\d{{3}}[ .-]\d{{4}}\b{_EXTENSION}",
    ),
    Detector(
        kind="phone", form="in context", judge=_in_context, rank=2,
        pattern=_CALL + _NUMBER_IS,
        value=rf"\(?\+?\d(?:[ ./()-]{{0,2}}\d){{5,17}}\b{_EXTENSION}",
    ),
    Detector(kind="birth_date", form="in context", rank=3,
             pattern=rf"{_BORN}[^\w\n]{{0,5}}(?:(?i:is|was|on|am|le|el|il|ist|est|es)[ :]{{1,2}})?",
             value=_DAY),
    Detector(
        kind="passport", form="in context", judge=_document, rank=2,
        pattern=rf"(?i:\b(?:passport|reisepass|passeport|pasaporte|passaporto|paspoort|travel document|ausweis|identity card|carte d.identité)(?:nummer)?){_NUMBER_WORD}{_IS}",
        value=r"[A-Z0-9]{6,12}\b",
    ),
    Detector(
        kind="drivers_license", form="in context", judge=_document, rank=2,
        pattern=r"(?i:\b(?:driver(?:'?s|’s)?[ -]licen[cs]e|driving licen[cs]e|dl|führerschein(?:nummer)?"
        rf"|permis de conduire|licencia de conducir|patente di guida|rijbewijs)){_NUMBER_WORD}{_IS}",
        value=r"[A-Z0-9][A-Z0-9-]{4,20}\b",
    ),
    Detector(
        kind="person", form="by title",
        pattern=r"\b(?:(?i:mr|mrs|ms|mx|dr|prof|sr|sra|srta|mme|mlle|sig|dott|hr|fr)\.?"
        r"|Miss|Sir|Madam|Herrn?|Frau|Señora?|Monsieur|Madame|Signora?|Doctor|Professor"
        r"|M\.) (?:(?:Dr|Prof)\.? )?",
        value=rf"{_NAME}(?: (?:(?:van|von|de|der|den|del|della|la|le|di|da|du|dos|zu)\s){{0,2}}{_NAME}){{0,3}}",
    ),
)  # fmt: skip
