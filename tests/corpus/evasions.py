"""Every way of the specification to write a text so that only a model reads it."""

import base64

_ALIKE = dict(zip("aceiopsxyAEIOT", "асеіорѕхуАЕІОТ", strict=True))

EVASIONS = {
    "plain": lambda text: text,
    "capitals": str.upper,
    "zero-width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "full-width": lambda text: "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text
    ),
    "tag characters": lambda text: "".join(chr(0xE0000 + ord(c)) for c in text),
    "homoglyphs": lambda text: "".join(_ALIKE.get(c, c) for c in text),
    "mathematical letters": lambda text: "".join(
        chr(0x1D400 + ord(c) - 97 + 26) if "a" <= c <= "z" else c for c in text
    ),
    "accents": lambda text: "".join(f"{c}\u0301" if c.isalpha() else c for c in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, moved": lambda text: "x" + base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(f"{text}???".encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(f"{text} {text} {text}".encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "percent": lambda text: "".join(f"%{ord(c):02X}" for c in text),
    "percent, some": lambda text: text.replace("e", "%65").replace(" ", "%20"),
    "percent twice": lambda text: "".join(f"%25{ord(c):02x}" for c in text),
    "\\u": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "\\u, some": lambda text: text.replace("o", "\\u006f"),
    "\\x": lambda text: "".join(f"\\x{ord(c):02x}" for c in text),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "letters apart": lambda text: " ".join(text.replace(" ", "  ")).replace("     ", "   "),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "base64 of full-width": lambda text: base64.b64encode(
        "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text).encode()
    ).decode(),
}
