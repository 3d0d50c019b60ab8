"""Tests that hold on a machine of any speed: what Hypothesis draws may take as long as it takes there."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("any speed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")
