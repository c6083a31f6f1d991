"""One server for all that is done to it: what one test breaks, the next one sees."""

import sys
from collections.abc import Iterator

import pytest

from tests.conformity.victim import Victim, victim


@pytest.fixture(scope="session")
def server() -> Iterator[Victim]:
    if not sys.platform.startswith("linux"):
        pytest.skip("counts memory, files and threads in /proc")
    with victim() as running:
        yield running
        running.assert_well()
