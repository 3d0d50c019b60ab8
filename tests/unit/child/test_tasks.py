from __future__ import annotations

import importlib
import inspect

import pytest

from pipeline.child.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_a_function_of_request_and_folder(task: str) -> None:
    module, _, name = TASKS[task].partition(":")
    function = getattr(importlib.import_module(module), name)
    assert list(inspect.signature(function).parameters) == ["request", "folder"]
