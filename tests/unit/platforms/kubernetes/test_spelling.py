"""Times and amounts as the API server writes them."""

from __future__ import annotations

import pytest

from ebbtide.infra.platforms.kubernetes.spelling import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", 0.25), ("123456789n", 0.123456789), ("2", 2.0), ("3Ki", 3072.0), ("what", 0.0)],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)
