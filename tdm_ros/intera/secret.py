"""Shared secret of a listening worker and its client: reading it, and proving knowledge of it.

The proof is an HMAC over both sides' nonces. It says who is at the other end when the connection begins; what follows
is neither encrypted nor authenticated. Standard library only, and Python 3.8.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets

LEAST_CHARACTERS = 32


def read_secret(path: str) -> bytes:
    """Return the secret in a file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If others than its owner may read it, or it is too short.
    """
    path = os.path.expanduser(path)
    with open(path, "rb") as file:
        mode, text = os.fstat(file.fileno()).st_mode & 0o777, file.read().strip()
    if mode & 0o077:
        raise ValueError(f"only its owner may read the secret {path}, its mode is {mode:o}: chmod 600 {path}")
    if len(text) < LEAST_CHARACTERS:
        raise ValueError(
            f"the secret {path} must have at least {LEAST_CHARACTERS} characters, got {len(text)}: "
            f"openssl rand -hex 32 > {path}"
        )
    return text


def new_nonce() -> str:
    """Return a number that has not been used before, as text."""
    return secrets.token_hex(32)


def proof_of(secret: bytes, side: str, worker_nonce: str, client_nonce: str) -> str:
    """Return what shows that a side, "worker" or "client", knows the secret."""
    text = f"tdm_ros {side} {worker_nonce} {client_nonce}"
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def is_proof(mac: str, secret: bytes, side: str, worker_nonce: str, client_nonce: str) -> bool:
    """Return whether a side has shown that it knows the secret; takes equally long for every wrong answer."""
    return hmac.compare_digest(mac.encode(), proof_of(secret, side, worker_nonce, client_nonce).encode())
