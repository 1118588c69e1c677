"""OpenLineage: events of lineage for Marquez, DataHub, Atlan and others, by its own client."""
