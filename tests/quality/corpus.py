"""A labelled corpus: what people write, with values of twenty locales in it.

Templates and key formats are written for this purpose and are not the rules'
own examples; the seed makes every run the same.  Half of all texts hold
nothing but what looks like something.
"""

import base64
import random
import string
from dataclasses import dataclass, field
from hashlib import sha256

from faker import Faker
from stdnum import verhoeff

LOCALES = (
    "en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR", "nl_NL", "pl_PL", "sv_SE", "en_CA",
    "en_AU", "de_AT", "de_CH", "fi_FI", "da_DK", "no_NO", "en_IN", "en_IE", "es_MX",
)  # fmt: skip
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
URL64 = ALNUM + "-_"

TEMPLATES = {
    "email": (
        "Please forward the invoice to {} before Friday.", "Ticket 48213 was opened by {}.",
        "cc: {}, and nobody else", '<a href="mailto:{}">write to us</a>', "user={}&plan=pro",
        "Wenn Sie Fragen haben, schreiben Sie an {}.", '{{"contact": "{}", "active": true}}', "{}",
    ),
    "phone": (
        "Maria from accounts, {}", "home: {} / work: same", "Dial {} and press 2.", "Die Nummer lautet {}.", "my number is {}", "WhatsApp {}",
        "You can reach me by phone at {} after six.", "Call {} and ask for the night shift.",
        "Tel: {}", "Mein Handy: {}", "Phone number: {}.", "Téléphone : {}", "My cell is {}, text me",
        "Fax {} is out of order again.", "contact number {}", "Teléfono: {} (mañanas)",
    ),
    "phone_international": (
        "I am at {} all week.", "Office {} or the front desk.", "{} is the number that rang.",
        "sip gateway registered {} twice",
    ),
    "credit_card": (
        "4 payments, all with {}", "Kreditkarte {}, gültig bis 12/27",
        "Charge my card {} for the difference.", "Card number: {}", "pan={};status=ok",
        "He read {} out over the line.", "La tarjeta {} fue rechazada.", "refund to {} please",
    ),
    "iban": (
        "Bitte überweisen Sie auf {}.", "IBAN: {}", "wire it to {} by noon", "compte {} au nom de",
        "The account {} was closed.",
    ),
    "us_ssn": (
        "taxpayer {} owes nothing",
        "My SSN is {}.", "Social Security Number: {}", "applicant {} was verified",
        "ssn={}", "The number {} is on the W-2.",
    ),
    "ip_address": (
        "login from {} at 03:12", "curl http://{}:8080/health", "blocked host {}", "{} - - GET /index",
        "ping {} shows no reply", "allow from {};",
    ),
    "mac": ("device {} joined the network", "HWaddr {}", "MAC: {}", "lease for {} expired"),
    "birth_date": (
        "birthdate={}", "She turned forty; her birthday is {}.", "d.o.b. {}", "age 44 ({})",
        "Date of birth: {}", "She was born on {} in Leeds.", "DOB {}", "Geburtsdatum: {}",
        "patient, born {}, was admitted", "Fecha de nacimiento: {}", "Date de naissance : {}", "né le {}",
    ),
    "passport": (
        "travel document {} issued in Lyon", "She showed passport {} at the gate.", "Pasaporte: {}","passport number {}", "Passport No: {}", "Reisepass {}", "Her passport is {}.", "passeport n° {}"),
    "crypto_address": ("send it to {}", "wallet {}", "donations: {}", "The tx went to {} last night."),
    "coordinates": (
        "drop pin {} and wait","meet at {}", "GPS: {}", "The sensor sits at {}.", "geo:{}"),
    "url_credentials": ("git clone {}", "proxy is {}", "open {} in a browser"),
    "national_id": ("{}",),
    "secrets": (
        "curl -H 'X-Api-Key: {}' https://api.example.com", "why does {} not work?",
        "export KEY={}", "the token is {} - rotate it", "Authorization: Bearer {}", 'api_key: "{}"',
        "I pasted {} into the chat by mistake", "{{'key': '{}'}}", "{}",
    ),
    "person": (
        "{} will see you now.", "The letter is signed by {}.", "Sehr geehrte(r) {},", "cc {} and the board",
    ),
}  # fmt: skip

NEGATIVE = (
    "The build {n7} finished at 12:30:45 with {n2} warnings.", "Order {n10} shipped in {n3} boxes.",
    "commit {hex40} touched {n2} files", "version {v3}.{v3}.{v3} of the library", "price: {n4}.{n2} EUR",
    "uuid {uuid} is the request's id", "see RFC {n4}, section {v1}.{v1}.{v1}.{v1}",
    "timestamps {n13} and {n10} differ", "call the function getUserName({n3}) first",
    "std::vector<int>::iterator it = v.begin();", "the ratio was 0.{n5}, up from 0.{n4}",
    "invoice 2024-{n4}-{n2} of 12.03.2024", "born to run was released in 1975", "the meeting is on {date}",
    "phone support is closed on Sundays", "ISBN 978-3-16-148410-{v1}", "tracking number 1Z{up}{n10}",
    "x = {n3} + {n4} * {n2}", "a passport is required at the border", "{n3}-{n4} is not a phone",
    "npm install left-pad@{v1}.{v1}.{v1}", "docker run nginx:{v1}.{n2}", "SKU-{n8}-{up}", "matrix [[{n2}, {n3}], [{n4}, {n5}]]",
    "sha256:{hex64}", "The password must be changed every 90 days.", "set the token limit to 4096",
    "secret santa is on Thursday", "@decorator\ndef f(x): return x", "{n9} users signed up", "part {up}{n6} is out of stock",
    "file:///usr/share/doc/readme.txt", "https://example.org/path?q={n8}&id={hex16}", "10:30-11:15, room {n3}", "1,{n3},{n3} rows",
    "the serial number {up}{n8} is worn", "#{hex6} is a shade of blue", "Prof is short for professor", "dl the file, then run it",
    "my id is {n6}", "base64 of a picture: {b64}", "temperature 21.5, 22.25, 23.125", "latin 1.5, lat pulldown 3x12",
)  # fmt: skip


@dataclass
class Labelled:
    """A text and what is in it."""

    text: str
    spans: list[tuple[int, int, str]] = field(default_factory=list)


class Corpus:
    """Makes labelled texts."""

    def __init__(self, seed=7):
        self.random = random.Random(seed)
        self.fakers = {locale: Faker(locale) for locale in LOCALES}
        for i, faker in enumerate(self.fakers.values()):
            faker.seed_instance(seed + i)
        self.words = Faker(["en_US", "de_DE", "fr_FR"])
        self.words.seed_instance(seed)

    def pick(self, alphabet, length):
        return "".join(self.random.choice(alphabet) for _ in range(length))

    def texts(self, count):
        """``count`` texts of each kind, and as many that hold nothing."""
        for kind in TEMPLATES:
            for _ in range(count):
                yield self.positive(kind)
        for _ in range(count * len(TEMPLATES)):
            yield Labelled(self.surrounded(self.negative())[0])

    def positive(self, kind):
        prefix = ""
        value = getattr(self, kind)()
        if isinstance(value, tuple):
            prefix, value = value
        template = self.random.choice(TEMPLATES[kind])
        sentence = template.replace("{{", "{").replace("}}", "}").replace("{}", prefix + value, 1)
        text, shift = self.surrounded(sentence)
        at = text.index(value, shift)
        return Labelled(text, [(at, at + len(value), kind.partition("_inter")[0])])

    def surrounded(self, sentence):
        before = self.words.sentence() + " " if self.random.random() < 0.7 else ""
        after = " " + self.words.sentence() if self.random.random() < 0.7 else ""
        return before + sentence + after, len(before)

    def negative(self):
        values = {f"n{i}": str(self.random.randint(10 ** (i - 1), 10**i - 1)) for i in range(1, 14)}
        values |= {f"hex{i}": self.pick(HEX, i) for i in (6, 16, 40, 64)}
        values |= {
            "v1": self.pick("123456789", 1), "v3": str(self.random.randint(0, 300)),
            "up": self.pick(string.ascii_uppercase, 3), "uuid": self.words.uuid4(),
            "date": self.words.date(), "b64": base64.b64encode(self.random.randbytes(60)).decode(),
        }  # fmt: skip
        return self.random.choice(NEGATIVE).format(**values)

    def faker(self, *locales):
        return self.fakers[self.random.choice(locales or LOCALES)]

    def email(self):
        return self.random.choice((self.faker().ascii_email, self.faker().ascii_company_email))()

    def phone(self):
        return self.faker().phone_number()

    def phone_international(self):
        code, length = self.random.choice(
            (
                ("49", 10),
                ("44", 10),
                ("33", 9),
                ("39", 10),
                ("1", 10),
                ("91", 10),
                ("48", 9),
                ("31", 9),
            )
        )
        digits = self.random.choice("2379" if code != "1" else "2345679") + self.pick(
            "23456789", length - 1
        )
        gap = self.random.choice((" ", "-", ".", ""))
        return f"+{code}{gap or ' '}{digits[:3]}{gap}{digits[3:6]}{gap}{digits[6:]}"

    def credit_card(self):
        kind = self.random.choice(("visa16", "visa16", "mastercard", "amex", "discover", "jcb16"))
        number = self.faker().credit_card_number(card_type=kind)
        gap = self.random.choice(("", " ", "-"))
        if len(number) == 15:
            return gap.join((number[:4], number[4:10], number[10:]))
        return gap.join(number[i : i + 4] for i in range(0, 16, 4))

    def iban(self):
        value = self.faker(
            "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "en_GB", "fi_FI", "no_NO", "da_DK", "de_AT"
        ).iban()
        gap = self.random.choice(("", " "))
        return gap.join(value[i : i + 4] for i in range(0, len(value), 4))

    def us_ssn(self):
        return self.faker("en_US").ssn()

    def ip_address(self):
        return self.faker().ipv6() if self.random.random() < 0.3 else self.faker().ipv4()

    def mac(self):
        value = self.faker().mac_address()
        return self.random.choice((value, value.upper(), value.replace(":", "-")))

    def birth_date(self):
        day = self.faker().date_of_birth()
        return day.strftime(
            self.random.choice(
                ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %B %Y", "%B %d, %Y", "%d/%m/%y")
            )
        )

    def passport(self):
        return self.random.choice((
            self.pick("123456789", 9), self.pick(string.ascii_uppercase, 2) + self.pick(string.digits, 7),
            "C" + self.pick("CFGHJKLMNPRTVWXYZ0123456789", 3) + self.pick(string.digits, 5),
        ))  # fmt: skip

    def crypto_address(self):
        if self.random.random() < 0.5:
            return "0x" + self.pick(HEX, 40)
        alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
        return bitcoin(self.random.randbytes(20), alphabet)

    def coordinates(self):
        faker = self.faker()
        return f"{faker.latitude()}, {faker.longitude()}"

    def url_credentials(self):
        user, word = self.faker().user_name(), self.pick(ALNUM, 12)
        return f"https://{user}:{word}@{self.faker().domain_name()}/x"

    def national_id(self):
        return self.random.choice((
            ("NI number ", self.nino()), ("mi DNI: ", self.faker("es_ES").nif()),
            ("NIE ", self.faker("es_ES").nie()), ("codice fiscale ", self.faker("it_IT").ssn()),
            ("numéro de sécurité sociale ", self.faker("fr_FR").ssn()), ("CPF ", self.faker("pt_BR").cpf()),
            ("BSN: ", self.faker("nl_NL").ssn()), ("PESEL ", self.faker("pl_PL").pesel()),
            ("personnummer ", self.faker("sv_SE").ssn()), ("hetu ", self.faker("fi_FI").ssn()),
            ("SIN ", self.faker("en_CA").ssn()), ("Aadhaar ", self.aadhaar()),
            ("fødselsnummer ", self.faker("no_NO").ssn()),
            ("CURP ", self.faker("es_MX").curp()), ("AHV ", self.faker("de_CH").ssn()),
        ))  # fmt: skip

    def nino(self):
        gap = self.random.choice(("", " "))
        pairs = [self.pick("ABCEHJKLMPRSWXY", 2), *(self.pick(string.digits, 2) for _ in range(3))]
        return gap.join((*pairs, self.pick("ABCD", 1)))

    def aadhaar(self):
        number = self.pick("23456789", 1) + self.pick(string.digits, 10)
        number += verhoeff.calc_check_digit(number)
        return self.random.choice((number, f"{number[:4]} {number[4:8]} {number[8:]}"))

    def person(self):
        faker = self.faker("en_US", "en_GB", "de_DE", "nl_NL", "es_ES", "it_IT")
        title = self.random.choice(("Mr. ", "Mrs. ", "Dr. ", "Ms ", "Herr ", "Frau ", "Prof. "))
        return title, f"{faker.first_name()} {faker.last_name()}"

    def secrets(self):
        p = self.pick
        return self.random.choice((
            "sk-proj-" + p(URL64, 64), "sk-ant-api03-" + p(URL64, 80), "sk-" + p(ALNUM, 48),
            "AKIA" + p("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16), "AIza" + p(URL64, 35), "ghp_" + p(ALNUM, 36),
            "github_pat_" + p(ALNUM, 22) + "_" + p(ALNUM, 59), "glpat-" + p(URL64, 20),
            "xoxb-" + p(string.digits, 12) + "-" + p(ALNUM, 24), "sk_live_" + p(ALNUM, 24),
            "SG." + p(URL64, 22) + "." + p(URL64, 43), "npm_" + p(ALNUM, 36), "hf_" + p(ALNUM, 34),
            "gsk_" + p(ALNUM, 52), "dop_v1_" + p(HEX, 64), "shpat_" + p(HEX, 32), "dapi" + p(HEX, 32),
            "lin_api_" + p(ALNUM, 40), "hvs." + p(URL64, 90), "NRAK-" + p(string.ascii_uppercase + string.digits, 27),
            "AC" + p(HEX, 32), "key-" + p(HEX, 32), p(HEX, 32) + "-us12", "glsa_" + p(ALNUM, 32) + "_" + p(HEX, 8),
            "eyJ" + p(URL64, 30) + ".eyJ" + p(URL64, 60) + "." + p(URL64, 43),
            "postgresql://app:" + p(ALNUM, 16) + "@db.internal:5432/main", "figd_" + p(URL64, 40),
            "pul-" + p(HEX, 40), "sbp_" + p(HEX, 40), "pplx-" + p(ALNUM, 48), "r8_" + p(ALNUM, 37),
        ))  # fmt: skip


def bitcoin(hashed, alphabet):
    """A P2PKH address."""
    raw = b"\0" + hashed
    raw += sha256(sha256(raw).digest()).digest()[:4]
    number, out = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        out = alphabet[digit] + out
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + out
