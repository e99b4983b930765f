"""A chat server, and an environment without keys and proxies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chat_server import ChatServer, serving

from closemesh.text.vlm_client import KEY_VARIABLE


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    for name in (KEY_VARIABLE, "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as chat:
        yield chat
