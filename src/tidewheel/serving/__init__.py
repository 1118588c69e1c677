"""Deployments and the answer path: keys in, features looked up, the model's answer out, and every answer logged.

A *deployment* is a name. Its *route* says which versions of a model answer under it: the champion, challengers with a share
of the keys, and shadows whose answers are only logged. The *answerer* holds the versions that are loaded, as one immutable
table that is replaced by one assignment, so a version is swapped while requests run and none is dropped. It knows no HTTP:
`web` speaks that, hands bytes in and gets bytes out.
"""

from tidewheel.serving.arm import Arm, Route
from tidewheel.serving.definition import Deployment, RollbackCondition, deployment, parse_condition

__all__ = ["Arm", "Deployment", "RollbackCondition", "Route", "deployment", "parse_condition"]
