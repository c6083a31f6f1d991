"""One browser for all tests of the page; each test has its own server and its own page."""

from collections.abc import Iterator

import pytest

from tests.page.chromium import Chromium, Page, find
from tests.page.stub import Stub


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A headless Chromium; the test is skipped where there is none."""
    path = find()
    if path is None:
        pytest.skip("no Chromium here; put one on the PATH or name it in CHROMIUM")
    with Chromium(path) as browser:
        yield browser


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server without a model."""
    with Stub() as server:
        yield server


@pytest.fixture
def page(chromium: Chromium) -> Iterator[Page]:
    """An empty page of a desktop's size."""
    page = chromium.page()
    page.show()
    yield page
    page.close()
