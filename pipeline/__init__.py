"""Builds, checks and caches TensorRT engines for the models of one manifest.

Data flows one way: settings -> manifest -> plan -> prepared models -> engines -> verified engines ->
report. Every stage takes frozen values and returns frozen values; only ``pipeline.run`` knows them all.
``docs/architecture.md`` is the map.
"""

__version__ = "0.1.0"
