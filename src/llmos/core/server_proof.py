"""The proof that a server has the owner's key. A client asks for it before it sends that key.

    client -> server   GET /health/identity   llmos-challenge: RANDOM
    server -> client   llmos-proof: HMAC-SHA256(key, RANDOM and the port that the server was reached at)

The port is part of the proof, so that a program on another port can't pass the challenge on to the real server and
answer with its proof.
"""

import hmac
import re
import secrets

PROOF_PATH = "/health/identity"
CHALLENGE_HEADER = "llmos-challenge"
PROOF_HEADER = "llmos-proof"

CHALLENGE_PATTERN = "^[0-9a-f]{32,128}$"

_CHALLENGE = re.compile(CHALLENGE_PATTERN)


def new_challenge() -> str:
    return secrets.token_hex(32)


def is_challenge(text: str) -> bool:
    return _CHALLENGE.fullmatch(text) is not None


def prove(key: str, challenge: str, port: int) -> str:
    return hmac.digest(key.encode(), f"llmos server proof\n{challenge}\n{port}".encode(), "sha256").hex()


def is_proof(proof: str, key: str, challenge: str, port: int) -> bool:
    return hmac.compare_digest(proof.encode(errors="replace"), prove(key, challenge, port).encode())
