from collections.abc import AsyncIterator

import httpx
import pytest

from api.app import Service, create_app
from api.view import View
from streams.settings import Settings
from tests.api import factory


@pytest.fixture
def view() -> View:
    return factory.filled()


@pytest.fixture
def service(view: View) -> Service:
    return create_app(Settings(), view)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=service, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://koridor") as found:
        yield found
