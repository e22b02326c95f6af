"""What fapilog's `kubernetes` enricher says about the pod that it runs in.

The environment does not change while a process runs, so this is read once, and the same members
are added to every event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_OWNERS = (
    re.compile(r"^(.+)-[a-f0-9]{8,10}-[a-z0-9]{5}$"),  # of a Deployment
    re.compile(r"^(.+)-\d+$"),  # of a StatefulSet
    re.compile(r"^(.+)-[a-z0-9]{5}$"),  # of a DaemonSet
)


def pod_members(
    environment: Mapping[str, str],
    variables: Mapping[str, str],
    *,
    prefix: str,
    skip_if_not_k8s: bool,
) -> list[tuple[str, str]]:
    """Return the members of `diagnostics`; `variables` are the names for pod, namespace and so on.

    Without a pod name this is no pod, and nothing is said unless `skip_if_not_k8s` is off.
    """
    values = {what: environment.get(name) for what, name in variables.items()}
    pod = values.get("pod")
    if not pod and skip_if_not_k8s:
        return []
    members = [(f"{prefix}{what}", value) for what, value in values.items() if value]
    owner = owner_of(pod) if pod else None
    if owner:
        members.append((f"{prefix}deployment", owner))
    return members


def owner_of(pod: str) -> str | None:
    """Return the name of what keeps the pod running, as far as the pod's own name tells it."""
    for pattern in _OWNERS:
        if match := pattern.match(pod):
            return match[1]
    return None
