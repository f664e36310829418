"""Ports of applications, hand-offs and webhooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llmos.core.schemas.apps import AppDescription, AppDifference, AppVersionDescription
from llmos.core.schemas.handoffs import HandoffDescription
from llmos.core.schemas.models import (
    RemovalDescription,
)
from llmos.core.schemas.webhooks import DeliveryDescription, NewWebhookDescription, WebhookDescription

if TYPE_CHECKING:
    pass
from llmos.cli.control.ports.names import NamesPort


class AppsPort(NamesPort, Protocol):
    def list(self) -> Sequence[AppDescription]: ...
    def get(self, name: str) -> AppVersionDescription: ...
    def create(self, folder: Path) -> AppVersionDescription:
        """Make a Version of a folder on this machine's disk."""

    def pull(self, name: str, folder: Path) -> Path:
        """Write the files of a Version into a new folder, and return it."""

    def diff(self, older: str, newer: str) -> AppDifference: ...
    def remove(self, name: str) -> RemovalDescription: ...


class HandoffsPort(Protocol):
    def list(self, *, app: str | None = None, state: str | None = None) -> Sequence[HandoffDescription]: ...
    def get(self, id: str) -> HandoffDescription: ...
    def take(self, id: str) -> HandoffDescription: ...
    def answer(self, id: str, text: str) -> HandoffDescription: ...
    def close(self, id: str, *, reason: str = "") -> HandoffDescription: ...


class WebhooksPort(Protocol):
    def add(
        self, name: str, url: str, *, events: Sequence[str] = (), allow_private: bool = False
    ) -> NewWebhookDescription: ...
    def list(self) -> Sequence[WebhookDescription]: ...
    def test(self, name: str) -> DeliveryDescription: ...
    def rotate(self, name: str, *, overlap_hours: float = 24) -> NewWebhookDescription: ...
    def deliveries(
        self, name: str | None = None, *, state: str | None = None, limit: int = 100
    ) -> Sequence[DeliveryDescription]: ...
    def remove(self, name: str) -> None: ...
