"""A certificate of 127.0.0.1 that signs itself, for servers that speak TLS."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """The key, and the certificate that clients trust. ``arguments`` are redis-server's, for TLS on ``port``."""

    key: Path
    file: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        """Two days of trust, by openssl."""
        made = cls(folder / "key.pem", folder / "cert.pem")
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(made.key), "-out", str(made.file)]
        subprocess.run(command, check=True, capture_output=True)
        return made

    def arguments(self, port: int) -> tuple[str, ...]:
        files = (
            "--tls-cert-file",
            str(self.file),
            "--tls-key-file",
            str(self.key),
            "--tls-ca-cert-file",
            str(self.file),
        )
        return ("--tls-port", str(port), *files, "--tls-auth-clients", "no")
