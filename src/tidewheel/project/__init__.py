"""A project: a folder with ``tidewheel.toml`` and Python files that define features, models and the rest.

This package is the composition root: the only place that reads the environment, opens backends by entry point, and knows
every noun. It loads definitions, computes recipes, plans the difference to an environment and applies it.
"""

from tidewheel.project.configuration import Configuration, WorkspaceConfiguration
from tidewheel.project.graph import Graph
from tidewheel.project.plan import Change, Plan, Reason

__all__ = ["Change", "Configuration", "Graph", "Plan", "Reason", "WorkspaceConfiguration"]
