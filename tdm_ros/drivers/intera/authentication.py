"""Authentication between the arm process and a worker that listens: the secret, both proofs, and a code per message.

Both sides prove with an HMAC over both nonces that they know the secret. The keys of the connection, one per direction,
are derived from the secret and both nonces; with them, each message carries an HMAC-SHA256 over its number and its
bytes. Standard library only, and Python 3.8: the worker runs in a ROS 1 Python.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from typing import NamedTuple

LEAST_CHARACTERS = 32
_NUMBER = struct.Struct(">Q")


class Keys(NamedTuple):
    """Keys of one connection: that of the worker's messages and that of the client's, 32 bytes each."""

    worker: bytes
    client: bytes


class MessageCodes:
    """Codes of the messages of one direction, in their order; `SIZE` bytes each.

    A message that is changed, repeated, left out, moved, or made by somebody without the key gets another code.
    """

    SIZE = 32

    def __init__(self, key: bytes) -> None:
        self._key, self._number, self._failed = key, 0, False

    def next(self, frame: bytes) -> bytes:
        """Return the code of the next message, whose length and body are ``frame``."""
        number, self._number = self._number, self._number + 1
        return hmac.new(self._key, _NUMBER.pack(number) + frame, hashlib.sha256).digest()

    def fits(self, code: bytes, frame: bytes) -> bool:
        """Return whether a code is that of the next message, as all before were; takes as long for each wrong code."""
        self._failed |= not hmac.compare_digest(code, self.next(frame))
        return not self._failed


def read_secret(path: str) -> bytes:
    """Return the secret in a file; a ValueError if others than its owner may read it, or it is too short."""
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


def proof_of(secret: bytes, side: str, worker_nonce: str, client_nonce: str) -> str:
    """Return the proof that a side, "worker" or "client", knows the secret."""
    text = f"tdm_ros {side} {worker_nonce} {client_nonce}"
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def is_proof(mac: str, secret: bytes, side: str, worker_nonce: str, client_nonce: str) -> bool:
    """Return whether a proof is that of a side that knows the secret; takes the same time for every wrong proof."""
    return hmac.compare_digest(mac.encode(), proof_of(secret, side, worker_nonce, client_nonce).encode())


def keys_of(secret: bytes, worker_nonce: str, client_nonce: str) -> Keys:
    """Return the keys of the connection with these nonces; no proof is equal to one of them."""
    texts = (f"tdm_ros key of {side} {worker_nonce} {client_nonce}" for side in Keys._fields)
    return Keys(*(hmac.new(secret, text.encode(), hashlib.sha256).digest() for text in texts))
