"""One Docker engine for every test that needs it, and Debian's releases as images in it."""

from collections.abc import Callable, Iterator

import pytest

from tests.demo.docker_engine import Engine, debian, engine


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    with engine() as found:
        yield found


@pytest.fixture(scope="session")
def release(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """`release("trixie")`: the image of that release, made once."""
    made: dict[str, str] = {}

    def image(suite: str) -> str:
        if suite not in made:
            made[suite] = debian(docker, suite, tmp_path_factory.mktemp(suite))
        return made[suite]

    return image
