"""Statements for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_bytes
from pipeline.keys import key_from_ingredients
from pipeline.provenance.statement import Material, Statement

if TYPE_CHECKING:
    from pipeline.keys import Ingredient

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sample_statement(content: bytes = b"plan", **parts: Any) -> Statement:
    """The statement about an engine whose bytes are ``content``."""
    ingredients: dict[str, Ingredient] = {
        "recipe": 1,
        "model": str(digest_from_bytes(b"model")),
        "precision": "fp16",
        "runtime": "tensorrt",
        "runtime.version": "10.13.3",
        "build.optimization-level": None,
        "build.sparsity": False,
        "profile.0.image.min": "1x1x8x8",
        "tool.onnx": "1.23.2",
    }
    statement = Statement(
        job="digits/l4/fp16",
        engine=digest_from_bytes(content),
        key=key_from_ingredients("engine", ingredients),
        materials=(
            Material("model", "models/digits.onnx", "sha256", digest_from_bytes(b"model").hex),
            Material("source", "git+https://example.com/team/models@refs/heads/main", "gitCommit", COMMIT),
            Material("image", "example.com/team/action:1"),
        ),
        builder="https://example.com/team/models/.github/workflows/ci.yml@refs/heads/main",
        invocation="https://example.com/team/models/actions/runs/7/attempts/1",
        started="2026-01-31T23:59:00Z",
        finished="2026-01-31T23:59:59Z",
    )
    return replace(statement, **parts)
