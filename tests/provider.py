"""An identity provider for tests: its keys, its tokens, and forgeries of both."""

import base64
import hashlib
import hmac
import json
from functools import cache

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://idp.example.com/"
NOW = 1_800_000_000
CLAIMS = {"iss": ISSUER, "sub": "alice", "org": "acme", "iat": NOW - 5, "exp": NOW + 300}
CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1,
          "secp256k1": ec.SECP256K1}  # fmt: skip


@cache
def secret_key(kind, number=0):
    """``RSA``, ``RSA-1024``, ``Ed25519`` or a curve; another for each number."""
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65537, int(kind[4:] or 2048))
    return ec.generate_private_key(CURVES[kind]())


def public_jwk(kind, kid="k1", number=0, **more):
    """The public half as a member of a JWK set."""
    key = secret_key(kind, number).public_key()
    algorithm = {"R": RSAAlgorithm, "E": OKPAlgorithm}.get(kind[0], ECAlgorithm)
    made = algorithm.to_jwk(key, as_dict=True)
    made.pop("key_ops", None)
    return {**made, **({} if kid is None else {"kid": kid}), **more}


def public_pem(kind, number=0):
    return secret_key(kind, number).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


def jwks(*members):
    return json.dumps({"keys": list(members)}).encode()


def token(kind="RSA", alg="RS256", *, kid="k1", number=0, headers=None, **claims):
    """A token signed as it should be; a claim of ``None`` is left out."""
    body = {k: v for k, v in {**CLAIMS, **claims}.items() if v is not None}
    names = {**({} if kid is None else {"kid": kid}), **(headers or {})}
    return signed(orjson.dumps(body), kind, alg, names, number)


def signed(payload, kind="RSA", alg="RS256", headers=(("kid", "k1"),), number=0):
    """Any payload, signed as it should be."""
    return jwt.PyJWS().encode(payload, secret_key(kind, number), alg, headers=dict(headers))


def b64(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header, claims=CLAIMS, secret=None):
    """A token of any header, unsigned, or signed by HMAC with ``secret``."""
    signed = f"{b64(header)}.{b64(claims)}"
    if secret is None:
        return f"{signed}."
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"
