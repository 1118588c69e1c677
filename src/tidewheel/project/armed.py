"""Triggers of a project, each with the node that it runs found in the graph. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tidewheel.clock import Micros, to_datetime
from tidewheel.errors import Invalid, NotFound, near_miss
from tidewheel.ledger.definition import Declaration, NodeId, node_id
from tidewheel.pipelines.compose import Pipeline, as_texts, read_arguments
from tidewheel.pipelines.partition import Partition, arguments_for, takes_partition
from tidewheel.project.graph import Graph
from tidewheel.triggers.calendar import last_due
from tidewheel.triggers.definition import AlertOpened, NewBuild, NewData, Schedule, Trigger, name_of
from tidewheel.triggers.fire import Armed

_CANNOT_RUN = frozenset({"step", "trigger", "transform", "entity", "service"})


def arm(graph: Graph) -> list[Armed]:
    """All triggers of a project.

    Raises
    ------
    NotFound
        When a trigger names a node that nothing declares.
    Invalid
        When what it names does not run by itself.

    Examples
    --------
    >>> from tidewheel.ledger.definition import collecting
    >>> from tidewheel.triggers.definition import trigger
    >>> with collecting() as declared:
    ...     _ = trigger("source:trips", name="nightly")
    >>> trips = Declaration(node_id("source", "trips"), None, "f.py:1")
    >>> [one.target for one in arm(Graph.of([trips, *declared]))]
    ['source:trips']
    """
    return [_arm(graph, declaration) for declaration in graph.nodes.values() if declaration.kind == "trigger"]


def find_armed(graph: Graph, name: str) -> Armed:
    """The trigger of that name.

    Raises
    ------
    NotFound
        When the project declares none.
    """
    armed = {one.trigger.name: one for one in arm(graph)}
    found = armed.get(name.removeprefix("trigger:"))
    if found is None:
        raise NotFound(f"the project declares no trigger {name!r}", where=name, fix=near_miss(name, armed))
    return found


def with_parameters(graph: Graph, one: Armed, given: Mapping[str, str], *, now: Micros) -> Armed:
    """The trigger with arguments in place of and beside its own; of a schedule, for the last time that was due.

    Raises
    ------
    Invalid
        When what it runs takes none, or not these.
    """
    event = one.trigger.on
    last = last_due(event, now + 1) if isinstance(event, Schedule) else None
    parameters = {**(dict(one.trigger.parameters) if last is None else one.parameters(last)), **given}
    _check_parameters(graph.nodes[NodeId(one.target)], parameters, one.trigger.name)
    return replace(one, trigger=replace(one.trigger, parameters=tuple(parameters.items())))


def _check_parameters(target: Declaration, given: Mapping[str, str], trigger: str) -> None:
    if not isinstance(target.definition, Pipeline):
        raise Invalid(f"trigger {trigger} has parameters, and {target.id} takes none", where=target.where, fix="drop them")
    read_arguments(target.definition, given)


def _arm(graph: Graph, declaration: Declaration) -> Armed:
    trigger = declaration.definition
    assert isinstance(trigger, Trigger)
    target = _find(graph, trigger.run, declaration)
    if target.kind in _CANNOT_RUN:
        raise Invalid(
            f"trigger {trigger.name} runs {target.id}, and a {target.kind} does not run by itself",
            where=declaration.where,
            fix="name what uses it: a model, a training set, a view, a monitor",
        )
    waits_for = ""
    event = trigger.on
    spans = _spans(target, trigger) if isinstance(event, Schedule) else None
    if trigger.parameters and spans is None:
        _check_parameters(target, dict(trigger.parameters), trigger.name)
    if isinstance(event, NewBuild):
        waits_for = _find(graph, event.node, declaration).id
    elif isinstance(event, NewData):
        waits_for = _find(graph, node_id("source", event.source), declaration).id
    elif isinstance(event, AlertOpened):
        waits_for = _find(graph, node_id("monitor", event.monitor), declaration).id
    return Armed(trigger, target.id, waits_for, spans)


def _spans(target: Declaration, trigger: Trigger) -> Callable[[Micros, Micros], Mapping[str, str]] | None:
    """How a pipeline that takes a partition is given the time from one scheduled instant to the next."""
    pipeline, own = target.definition, dict(trigger.parameters)
    if not isinstance(pipeline, Pipeline) or not takes_partition(pipeline.function):
        return None

    def spans(start: Micros, end: Micros) -> Mapping[str, str]:
        partition = Partition(to_datetime(start), to_datetime(end))
        return as_texts(arguments_for(pipeline.function, partition, where=target.where, others=own))

    read_arguments(pipeline, {**spans(Micros(0), Micros(1_000_000)), **own})  # what is missing, or wrong, is said now
    return spans


def _find(graph: Graph, wanted: object, asking: Declaration) -> Declaration:
    """The node of a definition, or of a name; a trigger itself is never meant by a bare name."""
    for declaration in graph.nodes.values():
        if declaration.definition is wanted:
            return declaration
    name = name_of(wanted)
    exact = [d for d in graph.nodes.values() if d.id == name]
    named = exact or [d for d in graph.nodes.values() if d.name == name and d.kind not in _CANNOT_RUN]
    # A deployment, a gate and a monitor may bear the name of their model, which is what runs them all.
    models = [d for d in named if d.kind == "model"]
    if len(named) == 1 or models:
        return (models or named)[0]
    if named:
        listed = ", ".join(d.id for d in named)
        raise NotFound(f"{asking.id}: {name!r} could be {listed}", where=asking.where, fix="write the kind before it, as there")
    runs = [d.id for d in graph.nodes.values() if d.kind not in _CANNOT_RUN]
    raise NotFound(f"{asking.id} names {name!r}, which nothing declares", where=asking.where, fix=near_miss(name, runs))
