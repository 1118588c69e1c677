"""What an environment points at beside recipes: the code that declares what is served, and the versions that answer.

A recipe says what decides a result, and not how to call it. So beside the pointer of each view, service and deployment there is
one to the packed code of the project that it was applied from, and beside that of a deployment one to the version that answers
for it. They are moved with the others: a promotion takes them along, and a rollback brings them back. Nothing else has to be
read, and no file of a working tree, to serve an environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidewheel.digest import Digest
from tidewheel.errors import NotFound, TidewheelError, near_miss
from tidewheel.features.definition import FeatureView, ServiceDefinition, view_of
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.ledger.environment import Environment
from tidewheel.ledger.record import Ledger
from tidewheel.project.open import Workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.serving.arm import Arm, Route
from tidewheel.serving.definition import Deployment

SERVED_KINDS = frozenset({"view", "service", "deployment"})
"""Kinds that a server needs the definition of."""

_CODE, _ANSWERS = "code/", "answers/"
_PACKED = "upstream:code"
"""Named as an upstream, so that garbage collection follows it to the packed code."""


def code_id(node: NodeId) -> NodeId:
    """The pointer to the code that a node was applied from.

    Examples
    --------
    >>> code_id(node_id("view", "a"))
    'code/view:a'
    """
    return NodeId(_CODE + node)


def answers_id(deployment: str) -> NodeId:
    """The pointer to the version that answers for a deployment.

    Examples
    --------
    >>> answers_id("eta")
    'answers/deployment:eta'
    """
    return NodeId(_ANSWERS + node_id("deployment", deployment))


def point_at_code(ledger: Ledger, node: NodeId, code: Digest) -> Digest:
    """What to point :func:`code_id` at."""
    return _put(ledger, code_id(node), Recipe("code", {_PACKED: Component(code)}))


def point_at_version(ledger: Ledger, deployment: str, version: str) -> Digest:
    """What to point :func:`answers_id` at, for the name of a version such as ``eta:3``."""
    return _put(ledger, answers_id(deployment), Recipe("answers", {"version": Component(version)}))


def _put(ledger: Ledger, pointer: NodeId, recipe: Recipe) -> Digest:
    ledger.put_recipe(pointer, recipe)
    return recipe.digest


@dataclass(frozen=True, slots=True)
class Pointed:
    """The definitions of what an environment serves, each from the code that it was applied from.

    ``trouble`` is of definitions whose code cannot be loaded.
    """

    views: Mapping[str, FeatureView] = field(default_factory=dict)
    services: Mapping[str, ServiceDefinition] = field(default_factory=dict)
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    trouble: Mapping[NodeId, TidewheelError] = field(default_factory=dict)


def read_pointed(ledger: Ledger, environment: Environment, pinned: PinnedProjects) -> Pointed:
    """What an environment points at; without what was applied before its code was pointed at."""
    pointers = {NodeId(name.removeprefix(_CODE)): at for name, at in environment.pointers.items() if name.startswith(_CODE)}
    recipes = ledger.get_recipes(set(pointers.values()))
    views: dict[str, FeatureView] = {}
    services: dict[str, ServiceDefinition] = {}
    deployments: dict[str, Deployment] = {}
    trouble: dict[NodeId, TidewheelError] = {}
    for node, at in pointers.items():
        try:
            declaration = pinned.at(Digest(recipes[at].components[_PACKED].value)).graph.find(node)
        except TidewheelError as error:
            trouble[node] = error
            continue
        definition = declaration.definition
        if isinstance(definition, ServiceDefinition):
            services[declaration.name] = definition
        elif isinstance(definition, Deployment):
            deployments[declaration.name] = definition
        elif isinstance(definition, FeatureView | type):
            view = view_of(definition)
            views[view.name] = view
    return Pointed(views, services, deployments, trouble)


def read_versions(ledger: Ledger, pointers: Mapping[NodeId, Digest]) -> dict[str, str]:
    """The version that some pointers let answer, by deployment."""
    beginning = answers_id("")
    found = {name.removeprefix(beginning): at for name, at in pointers.items() if name.startswith(beginning)}
    recipes = ledger.get_recipes(set(found.values()))
    return {deployment: recipes[at].components["version"].value for deployment, at in found.items()}


def list_answering(workspace: Workspace, environment: str) -> dict[str, str]:
    """The version that answers in an environment, by deployment.

    In the environment that the project works in, routes say it, which rollouts and ``promote NAME`` move; in all others it is
    what the environment points at.
    """
    held = workspace.ledger.environment(environment).pointers
    if environment != workspace.environment:
        return read_versions(workspace.ledger, held)
    found = {}
    for deployment in workspace.routes.list_deployments():
        champion = workspace.routes.current(deployment).champion
        if champion is not None and node_id("deployment", deployment) in held:
            found[deployment] = f"{champion.model}:{champion.version}"
    return found


def list_needed(workspace: Workspace, pinned: PinnedProjects) -> dict[str, tuple[FeatureView, ...]]:
    """Views that are served in other environments than the one that the project works in, by environment.

    They are those that are pointed at, and those that the models which answer there were trained on.

    Raises
    ------
    TidewheelError
        When the code of one cannot be loaded.
    """
    found: dict[str, tuple[FeatureView, ...]] = {}
    for name in workspace.ledger.list_environments():
        if name == workspace.environment:
            continue
        pointed = read_pointed(workspace.ledger, workspace.ledger.environment(name), pinned)
        for error in pointed.trouble.values():
            raise error
        views = list(pointed.views.values())
        for version in list_answering(workspace, name).values():
            views += pinned.service(workspace.registry.get(version)).views
        found[name] = tuple(views)
    return found


class PointedRoutes:
    """Routes of an environment that is served by its pointers: the version that is pointed at gets all of the traffic."""

    def __init__(self, workspace: Workspace, environment: str) -> None:
        self._workspace = workspace
        self._environment = environment
        self._known: tuple[int, dict[str, Route]] = (0, {})

    def current(self, deployment: str) -> Route:
        """The route of a deployment; its revision is the version of the environment."""
        environment = self._workspace.ledger.environment(self._environment)
        if environment.version != self._known[0]:
            self._known = (environment.version, self._read(environment))
        return self._known[1].get(deployment, Route(deployment))

    def _read(self, environment: Environment) -> dict[str, Route]:
        ledger = self._workspace.ledger
        move = ledger.history(environment.name)[0]
        routes = {}
        for deployment, name in read_versions(ledger, environment.pointers).items():
            model, _, version = name.rpartition(":")
            arms = (Arm(model, int(version)),)
            routes[deployment] = Route(deployment, environment.version, arms, move.at, move.actor, move.reason)
        return routes


def check_environment(workspace: Workspace, name: str, *, others: Iterable[str] = ()) -> Environment:
    """An environment that was moved at least once.

    Raises
    ------
    NotFound
        When there is none of that name.
    """
    known = workspace.ledger.list_environments()
    if name not in known:
        fix = near_miss(name, [*known, *others]) if known else f"tidewheel apply {name} makes it"
        raise NotFound(f"no environment {name!r}", where=name, fix=fix)
    return workspace.ledger.environment(name)
