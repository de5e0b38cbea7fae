"""What `/metrics` shows, in Prometheus' text format. Counts and times alone: nothing of any request."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ServiceMetrics:
    """The server's own figures.

    Args:
        restarts: how often the model process was started again.
    """

    def __init__(self, restarts: int) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "r1omni_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.request_s = Histogram(
            "r1omni_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_token_s = Histogram(
            "r1omni_first_token_seconds",
            "From the first byte of a request to the first token of its answer, decoding included.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.prompt_tokens = Counter("r1omni_prompt_tokens", "Tokens read.", ["model"], registry=self.registry)
        self.answer_tokens = Counter("r1omni_answer_tokens", "Tokens written.", ["model"], registry=self.registry)
        self._gauge("r1omni_model_restarts", "Times the model process was started again.", lambda: restarts)
        ProcessCollector(registry=self.registry)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a number that is read whenever somebody looks.

        Args:
            name: of the metric, without the prefix.
            meaning: its help text.
            value: returns it.
        """
        self._gauge(f"r1omni_{name}", meaning, value)

    def text(self) -> bytes:
        """Return the page."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        Gauge(name, meaning, registry=self.registry).set_function(value)


class _Replicas(Collector):
    """The figures of several processes as one page's."""

    def __init__(self, figures: Mapping[str, Sequence[Metric]]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for replica, metrics in self._figures.items():
            for metric in metrics:
                whole = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                found.setdefault(metric.name, whole).samples += [
                    sample._replace(labels={**sample.labels, "replica": replica}) for sample in metric.samples
                ]
        return found.values()


def replicas_text(figures: Mapping[str, Sequence[Metric]]) -> bytes:
    """Return one page for several processes, each sample with the label `replica`.

    Args:
        figures: what each process's registry collected, by the name of the replica.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Replicas(figures))
    return generate_latest(registry)
