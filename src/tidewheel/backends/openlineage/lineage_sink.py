"""Events as OpenLineage's client sends them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    JobFacet,
    RunFacet,
    column_lineage_dataset,
    dataset_version_dataset,
    datasource_dataset,
    documentation_job,
    error_message_run,
    job_type_job,
    parent_run,
    schema_dataset,
)

from tidewheel.ports.lineage_sink import DatasetFacts, LineageEvent

_TIMEOUT_SECONDS = 3.0


def open_lineage_sink(url: str | None, *, api_key: str | None = None) -> OpenLineageSink:
    """A sink at an HTTP receiver, or what the client's own variables and files say.

    Parameters
    ----------
    url
        Of the receiver, such as ``http://marquez:5000``; events are posted to ``/api/v1/lineage`` below it.
    """
    if url is None:
        return OpenLineageSink(OpenLineageClient())
    transport: dict[str, object] = {
        "type": "http",
        "url": url,
        "timeout": _TIMEOUT_SECONDS,
        "retry": {"total": 1, "connect": 0},
    }
    if api_key is not None:
        transport["auth"] = {"type": "api_key", "apiKey": api_key}
    return OpenLineageSink(OpenLineageClient(config={"transport": transport}))


class OpenLineageSink:
    """Sends events by a client, each before the next."""

    def __init__(self, client: OpenLineageClient) -> None:
        self._client = client
        self._producer = f"urn:tidewheel:{version('tidewheel')}"

    def emit(self, event: LineageEvent) -> None:
        """Send an event; the client tries once more where the receiver fails."""
        self._client.emit(self._event(event))

    def close(self) -> None:
        """Let go of connections."""
        self._client.close(_TIMEOUT_SECONDS)

    def _event(self, event: LineageEvent) -> RunEvent:
        return RunEvent(
            eventType=RunState[event.kind],
            eventTime=datetime.fromtimestamp(event.at / 1e6, UTC).isoformat(timespec="microseconds"),
            run=Run(event.run, facets=self._run_facets(event)),
            job=Job(event.namespace, event.job, facets=self._job_facets(event)),
            producer=self._producer,
            inputs=[
                InputDataset(
                    namespace=one.namespace or event.namespace, name=one.name, facets=self._facets(one, event.namespace)
                )
                for one in event.inputs
            ],
            outputs=[
                OutputDataset(
                    namespace=one.namespace or event.namespace, name=one.name, facets=self._facets(one, event.namespace)
                )
                for one in event.outputs
            ],
        )

    def _run_facets(self, event: LineageEvent) -> dict[str, RunFacet]:
        facets: dict[str, RunFacet] = {}
        if event.parent_run:
            facets["parent"] = parent_run.ParentRunFacet(
                run=parent_run.Run(event.parent_run),
                job=parent_run.Job(event.namespace, event.parent_job),
                producer=self._producer,
            )
        if event.error:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(event.error, "PYTHON", producer=self._producer)
        return facets

    def _job_facets(self, event: LineageEvent) -> dict[str, JobFacet]:
        facets: dict[str, JobFacet] = {}
        if event.job_type:
            facets["jobType"] = job_type_job.JobTypeJobFacet("BATCH", "TIDEWHEEL", event.job_type, producer=self._producer)
        if event.description:
            facets["documentation"] = documentation_job.DocumentationJobFacet(event.description, producer=self._producer)
        return facets

    def _facets(self, facts: DatasetFacts, namespace: str) -> dict[str, DatasetFacet]:
        facets: dict[str, DatasetFacet] = {}
        if facts.columns:
            fields = [
                schema_dataset.SchemaDatasetFacetFields(name, kind or None, ordinal_position=place)
                for place, (name, kind) in enumerate(facts.columns, start=1)
            ]
            facets["schema"] = schema_dataset.SchemaDatasetFacet(fields, producer=self._producer)
        if facts.made_from:
            facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
                {name: column_lineage_dataset.Fields(_fields(sources, namespace)) for name, sources in facts.made_from.items()},
                producer=self._producer,
            )
        if facts.uri:
            facets["dataSource"] = datasource_dataset.DatasourceDatasetFacet(facts.name, facts.uri, producer=self._producer)
        if facts.version:
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(facts.version, producer=self._producer)
        return facets


def _fields(sources: Sequence[tuple[str, str]], namespace: str) -> list[column_lineage_dataset.InputField]:
    direct = column_lineage_dataset.Transformation("DIRECT")
    return [column_lineage_dataset.InputField(namespace, dataset, name, [direct]) for dataset, name in sources]
