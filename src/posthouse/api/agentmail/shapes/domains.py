"""Domains and the records that prove them."""

from __future__ import annotations

from typing import Literal

import msgspec

from posthouse.accounts.domain_proof import MISSING, Proof, Record
from posthouse.api.agentmail.shapes.values import time


class VerificationRecord(msgspec.Struct, omit_defaults=True):
    """A record to publish, and whether it was found."""

    type: Literal["TXT", "CNAME", "MX"]
    name: str
    value: str
    status: Literal["MISSING", "INVALID", "VALID"]
    priority: int | None = None


class DomainItem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A domain in a list; its id is its name."""

    domain_id: str
    domain: str
    status: str
    feedback_enabled: bool
    subdomains_enabled: bool
    tracking_enabled: bool
    created_at: str
    updated_at: str
    pod_id: str | None = None
    client_id: str | None = None


class Domain(DomainItem, omit_defaults=True, kw_only=True):
    """A domain with its records."""

    records: list[VerificationRecord]
    reason: str | None = None


class DomainList(msgspec.Struct, omit_defaults=True):
    """A page of domains; `count` is of this page."""

    count: int
    limit: int
    domains: list[Domain]
    next_page_token: str | None = None


class CreateDomain(msgspec.Struct):
    """The domain to add. What is not known here is passed over."""

    domain: str
    feedback_enabled: bool | None = None
    subdomains_enabled: bool | None = None
    client_id: str | None = None
    inbound_enabled: bool | None = None


class UpdateDomain(msgspec.Struct):
    """What to change: at least one."""

    feedback_enabled: bool | None = None
    subdomains_enabled: bool | None = None
    inbound_enabled: bool | None = None


def domain_of(proof: Proof) -> Domain:
    """A domain as AgentMail shows it."""
    domain, check = proof.domain, proof.check
    statuses = check.statuses if check else {}
    return Domain(
        domain_id=domain.name,
        domain=domain.name,
        status=domain.status,
        feedback_enabled=domain.feedback_enabled,
        subdomains_enabled=domain.subdomains_enabled,
        tracking_enabled=False,
        created_at=time(domain.created_at),
        updated_at=time(domain.updated_at),
        pod_id=domain.pod_id,
        client_id=domain.client_id,
        records=[_record_of(record, statuses.get(f"{record.key} {record.value}", MISSING)) for record in proof.records],
        reason=check.reason if check else None,
    )


def _record_of(record: Record, status: str) -> VerificationRecord:
    return VerificationRecord(
        type="MX" if record.type == "MX" else "TXT",
        name=record.name,
        value=record.value,
        status="VALID" if status == "VALID" else "INVALID" if status == "INVALID" else "MISSING",
        priority=record.priority,
    )
