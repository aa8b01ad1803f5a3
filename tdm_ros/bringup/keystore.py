"""Keystore of SROS 2 for the nodes: an authority, and per enclave a key, a certificate and signed permissions.

The layout is that of `ros2 security`, whose package is on no package index that set-up uses. Needs cryptography.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from tdm_ros.bringup.permissions import ENCLAVES, Interface, dds_topics, governance, permissions, policy

AUTHORITY = "tdm_ros CA"
EARLIER = timedelta(hours=1)
"""Certificates are valid from before they are made: other machines' clocks may be behind."""


class Authority:
    """Signs identities and documents; its key never leaves ``folder``/private."""

    def __init__(self, folder: Path, days: int) -> None:
        now = datetime.now(timezone.utc).replace(microsecond=0)
        self.folder = folder
        self.validity = now - EARLIER, now + timedelta(days=days)
        self._key = ec.generate_private_key(ec.SECP256R1())  # prime256v1, Source: DDS Security 1.1, 9.3
        self._name = _named(AUTHORITY)
        self._certificate = self._signed(self._name, self._key.public_key(), authority=True)
        for part, secret, text in (
            ("public/ca.cert.pem", False, self._certificate.public_bytes(Encoding.PEM)),
            ("private/ca.key.pem", True, _pem(self._key)),
        ):
            _write(folder / part, text, secret)
            for kind in ("identity_ca", "permissions_ca"):
                _link(folder / part, folder / part.replace("/ca.", f"/{kind}."))

    def sign(self, path: Path, text: bytes) -> None:
        """Write a document, and beside it, as .p7s, its S/MIME form with our signature."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(text).add_signer(self._certificate, self._key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.Text, pkcs7.PKCS7Options.DetachedSignature]
        _write(path, text)
        _write(path.with_suffix(".p7s"), builder.sign(Encoding.SMIME, options))

    def enclave(self, name: str) -> Path:
        """Make the folder of an enclave, with its identity; return it."""
        folder = self.folder / "enclaves" / name.lstrip("/")
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder / "key.pem", _pem(key), secret=True)
        _write(folder / "cert.pem", self._signed(_named(name), key.public_key()).public_bytes(Encoding.PEM))
        for kind in ("identity_ca", "permissions_ca"):
            _link(self.folder / "public" / f"{kind}.cert.pem", folder / f"{kind}.cert.pem")
        _link(self.folder / "enclaves" / "governance.p7s", folder / "governance.p7s")
        return folder

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePublicKey, authority: bool = False) -> x509.Certificate:
        begin, end = self.validity
        builder = x509.CertificateBuilder().issuer_name(self._name).subject_name(name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
        builder = builder.add_extension(x509.BasicConstraints(authority, 1 if authority else None), critical=authority)
        return builder.sign(self._key, hashes.SHA256())


def make_keystore(
    folder: Path, allowed: Mapping[str, Interface], namespaces: Sequence[str], days: int, domains: str = ""
) -> list[str]:
    """Make a keystore in a new folder; return the names of its enclaves.

    ``allowed`` has, per node, what it may do in any of the ``namespaces``; ``domains`` is a domain, or "" for any. A
    ValueError is raised if the folder has something in it: keys are never overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} must be a new or empty folder: keys are never overwritten, move it away first")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = Authority(folder, days)
    authority.sign(folder / "enclaves" / "governance.xml", governance(domains))
    _write(folder / "policies" / "tdm_ros.policy.xml", policy(allowed, namespaces))
    names = []
    for node, one in allowed.items():
        names.append(f"{ENCLAVES}/{node}")
        text = permissions(names[-1], dds_topics(node, one, namespaces), authority.validity, domains)
        authority.sign(authority.enclave(names[-1]) / "permissions.xml", text)
    return names


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, text: bytes, secret: bool = False) -> None:
    """Write a new file; one that is ``secret`` is never readable by others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644), "wb") as file:
        file.write(text)


def _link(target: Path, path: Path) -> None:
    path.symlink_to(os.path.relpath(target, path.parent))
