"""What the tuning options refuse, and what they settle."""

import pytest

from tfrec.errors import UserError
from tfrec.text.tuning.options import TuningConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_tuning": "half"}, "half is unknown: take frozen, lora, last:N or full"),
        ({"text_tuning": "last:"}, "last: needs a number of layers"),
        ({"text_tuning": "last:0"}, "last:0 needs a number of layers"),
        ({"text_tuning": "last:-1"}, "last:-1 needs a number of layers"),
        ({"text_tuning": "last:²"}, "needs a number of layers"),
        ({"text_items": 0}, "--text-items must be at least 1"),
        ({"lora_rank": 0}, "--lora-rank must be at least 1"),
        ({"lora_alpha": -1}, "--lora-alpha must be at least 1"),
        ({"lora_targets": []}, "--lora-targets is empty"),
        ({"text_learning_rate": -1.0}, "--text-learning-rate must not be negative"),
        ({"text_weight_decay": -0.1}, "--text-weight-decay must not be negative"),
        ({"text_layer_decay": 0.0}, "--text-layer-decay 0.0 must be above 0"),
        ({"text_layer_decay": 1.1}, "at most 1"),
        ({"text_warmup": 1.0}, "--text-warmup 1.0 must be at least 0 and below 1"),
    ],
)
def test_values_that_train_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TuningConfig(**options)  # type: ignore[arg-type]


def test_the_rate_depends_on_what_is_trained_unless_it_is_given() -> None:
    rates = [TuningConfig(text_tuning=name).text_learning_rate for name in ("lora", "full")]
    assert rates == [5e-4, 2e-5]
    assert TuningConfig(text_tuning="last:3", text_learning_rate=1e-3).text_learning_rate == 1e-3
    assert TuningConfig(text_tuning="last:3").last_layers == 3
    assert TuningConfig(text_tuning="full").last_layers is None
