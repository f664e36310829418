"""Providers: servers elsewhere that run models, and their API keys, encrypted.

A key is bound to its provider's name, kind and base URL. Somebody who can write to the database, but has no master key,
cannot have it sent to another address. Each has a data key, under the key of the installation's own project.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectKeyRow
from llmos.core.errors import BadRequest, Conflict, NotFound, StoreFailed
from llmos.core.names import check_name
from llmos.core.suggest import nearest
from llmos.deployments import queries
from llmos.deployments.providers.provider_model import KINDS, Provider
from llmos.deployments.tables import ProviderRow
from llmos.deployments.targets import remote_name
from llmos.security.permissions import OWNER

MAX_KEY_LENGTH = 8192
MAX_TENSOR_LENGTH = 128

KEEP_SECONDS = 60.0
"""An opened key is read again after this time, and after each change of the database."""

_MAX_KNOWN = 1000


@dataclass(frozen=True, slots=True)
class _KnownKey:
    key: str = field(repr=False)
    state: int | None
    """The database's when it was read."""
    read_at: float


class Providers:
    def __init__(
        self,
        database: Database,
        encryption: Encryption,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._encryption = database, encryption
        self._clock, self._monotonic = clock, monotonic
        self._known: dict[tuple[bytes, bytes], _KnownKey] = {}

    def add(
        self,
        name: str,
        *,
        kind: str,
        base_url: str,
        key: str | None,
        text_input: str | None = None,
        text_output: str | None = None,
    ) -> Provider:
        """Add a provider, or change the one of this name; routes that lead to it stay. Raises BadRequest.

        `text_input`, `text_output`: for the kind open-inference; see Provider.
        """
        check_name(name, "a provider")
        found_kind = next((each for each in KINDS if each == kind), None)
        if found_kind is None:
            raise BadRequest(f"`kind` is {kind!r:.80}; it takes {', '.join(KINDS[:-1])} or {KINDS[-1]}.", param="kind")
        base_url = check_base_url(base_url)
        if found_kind == "open-inference":
            base_url = base_url.removesuffix("/v2")
        for param, tensor in (("text_input", text_input), ("text_output", text_output)):
            _check_tensor(found_kind, param, tensor)
        bound_to = _bound_to(name, found_kind, base_url)
        sealed, object_key = (None, None) if key is None else self._seal(_check_key(key), name, bound_to)
        with self._database.transaction() as session:
            key_queries.remove_object_keys(session, [_object_id(name)])
            if object_key is not None:
                session.add(object_key)
            row = queries.provider(session, name)
            if row is None:
                row = ProviderRow(name=name, created_at=self._clock())
                session.add(row)
            row.kind, row.base_url, row.sealed_key, row.updated_at = found_kind, base_url, sealed, self._clock()
            row.text_input, row.text_output = text_input, text_output
            session.flush()
            describe_action(kind=found_kind, base_url=base_url)
            return _provider(row)

    def get(self, name: str) -> Provider:
        """Raises NotFound, with the nearest names."""
        with self._database.session() as session:
            return provider_of(session, name)

    def list(self) -> Sequence[Provider]:
        with self._database.session() as session:
            return [_provider(row) for row in queries.providers(session)]

    def remove(self, name: str) -> None:
        """Raises Conflict while a route leads to it, and NotFound."""
        with self._database.transaction(frees_space=True) as session:
            provider_of(session, name)
            used_by = sorted({route for route, target in queries.remote_targets(session) if _is_of(name, target)})
            if used_by:
                raise Conflict(
                    f"The provider {name} is a target of the route {', '.join(used_by)}. Point it elsewhere first:"
                    f" llmos route set {used_by[0]} MODEL",
                    param="name",
                )
            session.delete(queries.provider(session, name))
            key_queries.remove_object_keys(session, [_object_id(name)])

    def key_of(self, provider: Provider) -> str | None:
        """Return the decrypted key, for the request header. Raises StoreFailed if it can't be decrypted."""
        if provider.sealed_key is None:
            return None
        self._database.watch()
        state, now = self._database.state(), self._monotonic()  # Read first: a later change makes the key outdated.
        key = self._opened_key(provider, provider.sealed_key)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[_place(provider)] = _KnownKey(key, state, now)
        return key

    def remembered_key(self, provider: Provider) -> str | None:
        """Return the key if it is known without reading the database; None if key_of() must be asked."""
        known = self._known.get(_place(provider))
        if known is None or known.state is None or self._monotonic() >= known.read_at + KEEP_SECONDS:
            return None
        return known.key if known.state == self._database.state() else None

    def _opened_key(self, provider: Provider, sealed_key: bytes) -> str:
        bound_to = _bound_to(provider.name, provider.kind, provider.base_url)
        try:
            key = self._encryption.find_key(_object_id(provider.name))
            if key is None:  # An earlier version has encrypted it under the master key.
                return self._encryption.ring.masters.unseal(sealed_key, bound_to).decode()
            return key.open(sealed_key, bound_to).decode()
        except (NotFound, StoreFailed) as error:
            raise StoreFailed(
                f"The key of the provider {provider.name} can't be read. {error.message} Or enter it again:"
                f" llmos provider add {provider.name} --kind {provider.kind} --base-url {provider.base_url}"
            ) from error

    def reseal_old_keys(self) -> int:
        """Encrypt the keys that an earlier version has encrypted under the master key anew. Return how many.

        Raises StoreFailed for one that can't be read.
        """
        num_sealed = 0
        for provider in self.list():
            if provider.sealed_key is None or self._encryption.find_key(_object_id(provider.name)) is not None:
                continue
            key = self.key_of(provider)
            assert key is not None, "it has one"
            bound_to = _bound_to(provider.name, provider.kind, provider.base_url)
            sealed, object_key = self._seal(key, provider.name, bound_to)
            with self._database.transaction() as session:
                row = queries.provider(session, provider.name)
                if row is not None and row.sealed_key == provider.sealed_key:  # Nobody has changed it meanwhile.
                    row.sealed_key = sealed
                    session.add(object_key)
                    num_sealed += 1
        return num_sealed

    def num_old_keys(self) -> int:
        """Return how many keys an earlier version has encrypted under the master key."""
        return sum(
            provider.sealed_key is not None and self._encryption.find_key(_object_id(provider.name)) is None
            for provider in self.list()
        )

    def discard_unreadable_keys(self) -> Sequence[str]:
        """Remove the keys that can't be decrypted, and return the names of their providers, which stay."""
        discarded = []
        for provider in self.list():
            try:
                self.key_of(provider)
            except StoreFailed:
                with self._database.transaction(frees_space=True) as session:
                    row = queries.provider(session, provider.name)
                    if row is not None:
                        row.sealed_key = None
                    key_queries.remove_object_keys(session, [_object_id(provider.name)])
                discarded.append(provider.name)
        return discarded

    def _seal(self, key: str, name: str, bound_to: bytes) -> tuple[bytes, ObjectKeyRow]:
        data_key = self._encryption.new_key(_object_id(name))
        return data_key.seal(key.encode(), bound_to), self._encryption.wrap(data_key, OWNER)


def provider_of(session: Session, name: str) -> Provider:
    """Raises NotFound, with the nearest names, for a provider that there is not."""
    row = queries.provider(session, name)
    if row is None:
        known = [each.name for each in queries.providers(session)]
        meant = nearest(name, known)
        hint = f"Did you mean {' or '.join(meant)}?" if meant else f"There is {', '.join(known) or 'none yet'}."
        raise NotFound(
            f"There is no provider {name[:80]!r}. {hint}"
            " Add it with: llmos provider add NAME --kind openai --base-url URL",
            param="provider",
        )
    return _provider(row)


def check_base_url(url: str) -> str:
    """Return the URL without a trailing slash. Raises BadRequest if it is no base URL of an API."""
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_whole = False
    if not is_whole or not url.isascii() or not url.isprintable() or " " in url:
        raise BadRequest(
            # A password in the URL is not repeated.
            f"{url.rpartition('@')[2][:200]!r} isn't a base URL: write one such as https://api.openai.com/v1.",
            param="base_url",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise BadRequest(
            "A base URL has no user, password, ? or #. Give the key separately; it is sent in a header.",
            param="base_url",
        )
    return url


def _check_tensor(kind: str, param: str, name: str | None) -> None:
    if name is None:
        return
    if kind != "open-inference":
        raise BadRequest(f"`{param}` is for providers of the kind open-inference. Leave it out.", param=param)
    if not 0 < len(name) <= MAX_TENSOR_LENGTH or not name.isprintable():
        raise BadRequest(f"`{param}` is the name of a tensor: 1 to {MAX_TENSOR_LENGTH} characters.", param=param)


def _check_key(key: str) -> str:
    if not (key.isascii() and key.isprintable() and " " not in key and 0 < len(key) <= MAX_KEY_LENGTH):
        raise BadRequest(
            "The key can't be sent in an HTTP header: it takes printable ASCII characters without spaces.", param="key"
        )
    return key


def _object_id(name: str) -> str:
    return f"provider/{name}"


def _bound_to(name: str, kind: str, base_url: str) -> bytes:
    return f"provider\n{name}\n{kind}\n{base_url}".encode()


def _place(provider: Provider) -> tuple[bytes, bytes]:
    """Return what says which key it is: with another address, it is another one."""
    return _bound_to(provider.name, provider.kind, provider.base_url), provider.sealed_key or b""


def _is_of(provider: str, target: str) -> bool:
    remote = remote_name(target)
    return remote is not None and remote.provider == provider


def _provider(row: ProviderRow) -> Provider:
    return Provider(
        name=row.name,
        kind=next(kind for kind in KINDS if kind == row.kind),
        base_url=row.base_url,
        text_input=row.text_input,
        text_output=row.text_output,
        sealed_key=row.sealed_key,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
