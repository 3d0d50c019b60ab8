"""The image, built once for the tests of this folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.container_image import ContainerImage, ImageToolsMissingError, built_image

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def image() -> Iterator[ContainerImage]:
    """The image. Where the tools for it are missing, the tests are skipped, but not in CI, where they fail."""
    try:
        built = built_image()
    except ImageToolsMissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the image cannot be built: {missing}")
        pytest.skip(f"the image cannot be built: {missing}")
    yield built
    built.remove_container()
