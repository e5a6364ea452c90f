"""The learning rate reaches its peak, ends at nothing, and never leaves that range."""

from hypothesis import given
from hypothesis import strategies as st

from tfrec.training.schedule import WarmUpAndDecay


def test_up_then_down() -> None:
    rate = WarmUpAndDecay(peak=1.0, warmup_steps=2, total_steps=6)
    assert [round(float(rate(step)), 4) for step in range(8)] == [
        0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0
    ]  # fmt: skip


@given(st.integers(0, 50), st.integers(1, 200), st.integers(0, 400))
def test_bounds(warmup: int, total: int, step: int) -> None:
    rate = WarmUpAndDecay(0.01, warmup, total)
    assert 0 <= float(rate(step)) <= 0.010001
    assert float(rate(total)) == 0 or warmup >= total
    assert WarmUpAndDecay(**rate.get_config()).get_config() == rate.get_config()
