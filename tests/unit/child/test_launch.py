from __future__ import annotations

from pathlib import Path

from pipeline.child.launch import child_environment


def test_only_names_on_the_list_are_kept() -> None:
    environment = {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "1",
        "ACTIONS_RUNTIME_TOKEN": "secret",
        "LD_PRELOAD": "x.so",
        "PYTHONPATH": "/elsewhere",
        "PYTHONSTARTUP": "x.py",
    }
    assert child_environment(environment, Path("/private")) == {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "1",
        "HOME": "/private",
        "TMPDIR": "/private",
        "CUDA_CACHE_PATH": "/private",
    }


def test_home_and_temporary_folder_and_compiled_kernels_are_never_the_parents() -> None:
    kept = child_environment({"HOME": "/root", "TMPDIR": "/tmp", "CUDA_CACHE_PATH": "/cache"}, Path("/private"))
    assert set(kept.values()) == {"/private"}
