"""Pods."""

from __future__ import annotations

import msgspec

from posthouse.api.agentmail.shapes.values import time
from posthouse.store.organizations import Pod as StoredPod


class Pod(msgspec.Struct, omit_defaults=True):
    """A group of inboxes with keys, lists, domains and webhooks of its own."""

    pod_id: str
    name: str
    created_at: str
    updated_at: str
    client_id: str | None = None


class PodList(msgspec.Struct, omit_defaults=True):
    """A page of pods; `count` is of this page."""

    count: int
    limit: int
    pods: list[Pod]
    next_page_token: str | None = None


class CreatePod(msgspec.Struct):
    """What to make; everything may be left out."""

    name: str | None = None
    client_id: str | None = None


def pod_of(pod: StoredPod) -> Pod:
    """A pod as AgentMail shows it."""
    return Pod(pod.id, pod.name, time(pod.created_at), time(pod.updated_at), pod.client_id)
