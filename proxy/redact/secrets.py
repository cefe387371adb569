"""Keys, tokens and passwords, in the forms that their issuers give them."""

from __future__ import annotations

import re
from math import log2
from typing import Final

from proxy.redact.detector import Detector

_URL64: Final = "[A-Za-z0-9_-]"
_ALNUM: Final = "[A-Za-z0-9]"
_HEX: Final = "[0-9a-f]"

PROVIDERS: Final = (
    ("openai project", rf"sk-(?:proj|svcacct|admin|None)-{_URL64}{{20,}}"),
    ("anthropic", rf"sk-ant-[a-z0-9]{{2,12}}-{_URL64}{{20,}}"),
    ("openrouter", rf"sk-or-v1-{_HEX}{{32,}}"),
    ("sidestream", rf"sk-ss-{_URL64}{{20,}}"),
    ("openai", rf"sk-{_ALNUM}{{20,}}"),
    ("aws access key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("google api key", rf"AIza{_URL64}{{35}}"),
    ("google oauth", rf"ya29\.{_URL64}{{20,}}"),
    ("google client secret", rf"GOCSPX-{_URL64}{{20,}}"),
    ("azure storage", r"AccountKey=[A-Za-z0-9+/]{80,}={0,2}"),
    ("azure shared access", r"(?:SharedAccessKey|SharedAccessSignature)=[A-Za-z0-9+/%=&]{30,}"),
    ("azure signature", r"[?&]sig=[A-Za-z0-9%/+]{40,}(?:%3D|=)"),
    ("azure client secret", r"[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,}"),
    ("github token", rf"gh[pousr]_{_ALNUM}{{30,}}"),
    ("github fine-grained", r"github_pat_[A-Za-z0-9_]{22,}"),
    ("gitlab", rf"gl(?:pat|dt|rt|cbt|ptt|soat|ft|imt|agent|oas)-{_URL64}{{20,}}"),
    ("slack token", r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("slack app", r"xapp-\d-[A-Za-z0-9-]{10,}"),
    ("slack webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}"),
    ("discord webhook", rf"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/{_URL64}{{30,}}"),
    ("teams webhook", r"https://[a-z0-9-]+\.webhook\.office\.com/[A-Za-z0-9@/_-]{40,}"),
    ("discord bot", rf"[MNO]{_URL64}{{23,27}}\.{_URL64}{{6}}\.{_URL64}{{27,}}"),
    ("stripe", rf"(?:sk|rk|pk)_(?:live|test)_{_ALNUM}{{16,}}"),
    ("stripe webhook", rf"whsec_{_ALNUM}{{24,}}"),
    ("square", rf"sq0(?:atp|csp|idp)-{_URL64}{{22,}}"),
    ("paypal braintree", rf"access_token\$(?:production|sandbox)\${_ALNUM}{{16}}\${_HEX}{{32}}"),
    ("twilio", rf"(?:SK|AC){_HEX}{{32}}\b"),
    ("sendgrid", rf"SG\.{_URL64}{{16,}}\.{_URL64}{{20,}}"),
    ("mailgun", rf"key-{_HEX}{{32}}\b"),
    ("mailchimp", rf"{_HEX}{{32}}-us\d{{1,2}}\b"),
    ("npm", rf"npm_{_ALNUM}{{36}}"),
    ("pypi", rf"pypi-{_URL64}{{50,}}"),
    ("rubygems", rf"rubygems_{_HEX}{{48}}"),
    ("crates.io", rf"cio{_ALNUM}{{32}}\b"),
    ("docker hub", rf"dckr_(?:pat|oat)_{_URL64}{{20,}}"),
    ("hugging face", rf"(?:hf|api_org)_{_ALNUM}{{30,}}"),
    ("replicate", rf"r8_{_ALNUM}{{37,}}"),
    ("groq", rf"gsk_{_ALNUM}{{40,}}"),
    ("xai", rf"xai-{_ALNUM}{{60,}}"),
    ("perplexity", rf"pplx-{_ALNUM}{{40,}}"),
    ("fireworks", rf"fw_{_ALNUM}{{22,}}"),
    ("langsmith", rf"lsv2_(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{10}}"),
    ("pinecone", r"pcsk_[A-Za-z0-9_]{40,}"),
    ("digitalocean", rf"do[opr]_v1_{_HEX}{{64}}"),
    ("heroku", rf"HRKU-{_URL64}{{30,}}"),
    ("shopify", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("databricks", rf"dapi{_HEX}{{32}}(?:-\d)?\b"),
    ("linear", rf"lin_(?:api|oauth)_{_ALNUM}{{32,}}"),
    ("notion", rf"(?:secret_{_ALNUM}{{43}}|ntn_{_ALNUM}{{40,}})"),
    ("airtable", rf"pat{_ALNUM}{{14}}\.{_HEX}{{64}}"),
    ("figma", rf"figd_{_URL64}{{40,}}"),
    ("atlassian", rf"ATATT3{_URL64}{{60,}}=?[0-9A-F]*"),
    ("bitbucket", rf"ATBB{_ALNUM}{{24,}}"),
    ("cloudflare", rf"v1\.0-{_HEX}{{24}}-{_HEX}{{146}}"),
    ("new relic", r"NR(?:AK|JS|II|RA)-[A-Z0-9]{20,}"),
    ("sentry", r"sntry[su]_[A-Za-z0-9+/=_-]{40,}"),
    ("grafana", r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,}"),
    ("vault", rf"hv[sbr]\.{_URL64}{{24,}}"),
    ("terraform", rf"{_ALNUM}{{14}}\.atlasv1\.{_URL64}{{60,}}"),
    ("pulumi", rf"pul-{_HEX}{{40}}\b"),
    ("planetscale", r"pscale_(?:tkn|oauth|pw)_[A-Za-z0-9_.-]{32,}"),
    ("supabase", rf"sbp_{_HEX}{{40}}\b"),
    ("netlify", rf"nf[pc]_{_ALNUM}{{36,}}"),
    ("vercel", rf"vc[aikpr]_{_ALNUM}{{24,}}"),
    ("tailscale", rf"tskey-[a-z]+-{_ALNUM}+-{_ALNUM}{{20,}}"),
    ("doppler", rf"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]+\.)?{_ALNUM}{{40,}}"),
    ("postman", rf"PMAK-{_HEX}{{24}}-{_HEX}{{34}}"),
    ("telegram", rf"\d{{8,10}}:AA{_URL64}{{33}}"),
    ("facebook", rf"EAA{_ALNUM}{{40,}}"),
    ("dropbox", rf"sl\.{_URL64}{{100,}}"),
    ("easypost", rf"EZ[AT]K{_ALNUM}{{54}}"),
    ("1password", r"ops_eyJ[A-Za-z0-9+/=_-]{60,}"),
    ("age", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    ("fly.io", r"(?:FlyV1 )?fm[12][ar]?_[A-Za-z0-9+/=_,-]{60,}"),
    ("contentful", rf"CFPAT-{_URL64}{{40,}}"),
    ("typeform", r"tfp_[A-Za-z0-9_.=-]{40,}"),
    ("buildkite", rf"bk(?:ua|at)_{_HEX}{{40}}"),
    ("circleci", rf"CCIPAT_{_ALNUM}{{16,}}_{_HEX}{{40}}"),
    ("bearer", r"(?i:bearer) [A-Za-z0-9._~+/-]{20,}=*"),
    ("json web token", rf"eyJ{_URL64}{{8,}}\.eyJ{_URL64}{{8,}}\.{_URL64}{{8,}}"),
)  # fmt: skip


_LETTER: Final = re.compile(rb"[A-Za-z]")
_OTHER: Final = re.compile(rb"[0-9!@#$%^&*?+=~|]")


def entropy(text: bytes) -> float:
    """Bits a byte, by how often each byte stands in ``text``."""
    return -sum((n := text.count(bytes((b,))) / len(text)) * log2(n) for b in set(text))


def _random(text: bytes) -> int:
    """Something that nobody made up as a word: of several kinds of characters."""
    if text.startswith((b"PII_", b"${", b"{{", b"process.", b"os.", b"env.")):
        return 0
    is_mixed = _LETTER.search(text) and _OTHER.search(text)
    return len(text.rstrip(b".:!?")) if is_mixed and entropy(text[:256]) >= 2.7 else 0


_NAMES: Final = (
    r"(?:pass(?:word|wd|phrase|wort|code)|\bpass\b|pwd|secret|token|api[ _-]?key|apikey|access[_-]?key|auth[_-]?key"
    r"|private[_-]?key|client[_-]?secret|signing[_-]?key|encryption[_-]?key|account[_-]?key"
    r"|credentials?|kennwort|mot de passe|contraseña)"
)
_BLOCK: Final = r"(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"

DETECTORS: Final = (
    *(
        Detector(kind="secrets", form=form, rank=8, longest=4096,
                 pattern=pattern if pattern.startswith("[?&]") else rf"\b{pattern}")
        for form, pattern in PROVIDERS
    ),
    Detector(
        kind="secrets", form="private key", rank=9, longest=8192,
        pattern=rf"-----BEGIN {_BLOCK}(?:(?s:.*?)-----END {_BLOCK}|[A-Za-z0-9+/=\s\\]*)",
    ),
    Detector(
        kind="secrets", form="connection string", rank=9,
        pattern=r"\b(?:postgres(?:ql)?(?:\+\w+)?|mysql(?:\+\w+)?|mariadb|mongodb(?:\+srv)?|rediss?|amqps?"
        r"|mssql(?:\+\w+)?|sqlserver|oracle|clickhouse|cassandra|couchbases?|nats|smtps?|s?ftp|ldaps?)"
        r"""://[^\s:/@"'<>\\]*:[^\s@"'<>\\]+@[^\s"'<>\\]*[^\s"'<>\\.,;:)]""",
    ),
    Detector(
        kind="secrets", form="connection settings", rank=9,
        pattern=r"(?i:\b(?:server|data source|host|endpoint)=[^;\s\"]+;(?:[\w ]+=[^;\"\n]*;){0,8}?(?:password|pwd|accountkey|sharedaccesskey)=[^;\s\"]+)",
    ),
    Detector(
        kind="secrets", form="assignment", rank=7, judge=_random, longest=1024,
        pattern=rf"(?i:{_NAMES})s?(?:[_.-][\w.-]{{0,20}})?[\"'`\]]{{0,2}}(?:\s{{0,3}}(?:=>|:=|==?|:)\s{{0,3}}|\s(?:is|ist|est|es)\s{{1,2}}:?)[\"'`]{{0,2}}",
        value=r"""[^\s"'`<>,;(){}\[\]\\]{8,}""",
    ),
)  # fmt: skip
