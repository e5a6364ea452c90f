"""A client of a served model, over gRPC or REST, blocking or with asyncio.

    from serving.client import Client, Event

    with Client("localhost:8500", model="shop") as client:
        for found in client.recommend([Event("s3", datetime.now(UTC))], exclude=["s9"]):
            print(found.item, found.probability)

It needs neither TensorFlow nor the published stubs.
"""

from serving.client import questions
from serving.client.client import AsyncClient, Client
from serving.client.connections import Tls
from serving.client.questions import Question
from serving.client.records import (
    Distribution,
    Embeddings,
    Event,
    Explanation,
    Facet,
    Interest,
    Probable,
    Recommendation,
    Score,
    Stage,
    Update,
    User,
)
from serving.status import Code, ServingError

__all__ = [
    "AsyncClient",
    "Client",
    "Code",
    "Distribution",
    "Embeddings",
    "Event",
    "Explanation",
    "Facet",
    "Interest",
    "Probable",
    "Question",
    "Recommendation",
    "Score",
    "ServingError",
    "Stage",
    "Tls",
    "Update",
    "User",
    "questions",
]
