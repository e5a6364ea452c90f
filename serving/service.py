"""The requests themselves, whatever brought them: gRPC, REST or a warm-up file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from serving import inference, predict
from serving.inference import CLASSIFY, REGRESS, Classes
from serving.keeper import Servable
from serving.limits import Limits
from serving.loader import Runner, Signature
from serving.metrics import Metrics
from serving.models import Models, Reference
from serving.status import from_exception
from serving.tensors import Array

Result = TypeVar("Result")
# Gives the serialised examples, strings [examples]. Called when it is certain that the model takes
# any: a missing model is told before an empty input.
Read = Callable[[], Array]


@dataclass(frozen=True)
class Answer:
    """What a request got, and from which version of which signature."""

    version: int
    signature_name: str
    value: Any


class Service:
    """Predict, Classify, Regress and MultiInference on the models.

    Every method raises ServingError, or an error of TensorFlow's, when the request fails.

    Arguments:
        models: where versions are found.
        check_methods: only on signatures whose method_name says so; Predict takes every one that
            is TensorFlow Serving's.
        limits: what one request may ask for.
    """

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        check_methods: bool = False,
        limits: Limits = Limits(),  # noqa: B008  (it is frozen)
    ) -> None:
        self.models = models
        self.metrics = metrics
        self._check_methods = check_methods
        self._limits = limits

    def predict(
        self,
        reference: Reference,
        signature_name: str,
        protos: Mapping[str, Any],
        output_filter: Sequence[str],
        deadline: float | None,
    ) -> Answer:
        """Named TensorProtos -> named arrays."""
        with self.held(reference) as servable:
            signature = predict.find_signature(servable.model.signatures, signature_name)
            self.check_method(signature)
            inputs = predict.read_inputs(signature, protos, self._limits.tensor_bytes)
            return self.run_predict(servable, signature, inputs, output_filter, deadline)

    def check_method(self, signature: Signature) -> None:
        """Lets a signature pass that Predict may run."""
        if self._check_methods:
            predict.check_method(signature)

    def run_predict(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Mapping[str, Array],
        output_filter: Sequence[str],
        deadline: float | None,
    ) -> Answer:
        """Named arrays -> named arrays, on a version that is held."""
        self._limits.check(inputs)

        def run(runner: Runner) -> dict[str, Array]:
            return predict.predict(runner, signature, inputs, output_filter, deadline)

        value = self._timed(servable, "Predict", run)
        return Answer(servable.version, signature.name, value)

    def classify(
        self, reference: Reference, name: str, read: Read, deadline: float | None
    ) -> Answer:
        """Serialised examples -> `Classes`."""
        return self._on_examples(
            "Classify", CLASSIFY, inference.classify, reference, name, read, deadline
        )

    def regress(
        self, reference: Reference, name: str, read: Read, deadline: float | None
    ) -> Answer:
        """Serialised examples -> values."""
        return self._on_examples(
            "Regress", REGRESS, inference.regress, reference, name, read, deadline
        )

    def multi_inference(
        self,
        reference: Reference,
        tasks: Sequence[tuple[str, str, str]],
        read: Read,
        deadline: float | None,
    ) -> Answer:
        """(model name, signature name, method) each -> a list of `Classes` and arrays of values."""
        with self.held(reference) as servable:
            wanted = inference.plan(servable.model.signatures, tasks, self._check_methods)
            examples = self._examples(read)

            def run(runner: Runner) -> list[Classes | Array]:
                return inference.multi_inference(runner, wanted, examples, deadline)

            value = self._timed(servable, "MultiInference", run)
            self._count_examples(servable, examples)
            return Answer(servable.version, "", value)

    @contextmanager
    def held(self, reference: Reference) -> Iterator[Servable]:
        """A version that stays loaded inside the block."""
        servable = self.models.acquire(reference)
        try:
            yield servable
        finally:
            servable.release()

    def counted(self, model: str, api: str, entrypoint: str, work: Callable[[], Result]) -> Result:
        """Runs a whole request, counts it by its status and times it if it succeeds.

        Raises:
            ServingError: the request failed, whatever the reason.
        """
        started = time.perf_counter()
        try:
            result = work()
        except Exception as raised:
            error = from_exception(raised)
            self.metrics.requests.add(model, error.code.name)
            raise error from None
        self.metrics.requests.add(model, "OK")
        elapsed = (time.perf_counter() - started) * 1e6
        self.metrics.latency.observe(elapsed, model, api, entrypoint)
        return result

    def _on_examples(
        self,
        api: str,
        method: str,
        infer: Callable[[Runner, Signature, Array, float | None], Any],
        reference: Reference,
        name: str,
        read: Read,
        deadline: float | None,
    ) -> Answer:
        with self.held(reference) as servable:
            signature = inference.find_signature(
                servable.model.signatures, name, method, self._check_methods
            )
            examples = self._examples(read)

            def run(runner: Runner) -> Any:
                return infer(runner, signature, examples, deadline)

            value = self._timed(servable, api, run)
            self._count_examples(servable, examples)
            return Answer(servable.version, signature.name, value)

    def _examples(self, read: Read) -> Array:
        examples = read()
        self._limits.check({"examples": examples})
        return examples

    def _timed(self, servable: Servable, api: str, run: Callable[[Runner], Result]) -> Result:
        started = time.perf_counter()
        result = run(servable.runner)
        elapsed = (time.perf_counter() - started) * 1e6
        self.metrics.runtime.observe(elapsed, servable.name, api, "TF1")
        return result

    def _count_examples(self, servable: Servable, examples: Array) -> None:
        self.metrics.examples.observe(len(examples), servable.name)
        self.metrics.example_total.add(servable.name, by=len(examples))
