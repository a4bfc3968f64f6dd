from __future__ import annotations

import pytest

from posthouse.wire import dmarc
from posthouse.wire.dkim_verify import DkimResult
from posthouse.wire.dmarc import evaluate, organizational_domain, parse
from posthouse.wire.resolver import NameNotFound, ResolverFailure
from posthouse.wire.spf import SpfResult


class Dns:
    """Policy records by domain; hosts that exist; every question asked."""

    def __init__(self, records, hosts=()):
        self.records = {f"_dmarc.{name}": value for name, value in records.items()}
        self.hosts = hosts
        self.asked = []

    async def txt(self, name):
        self.asked.append(name)
        found = self.records.get(name)
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise NameNotFound(name, no_domain=True)
        return [text.encode() for text in ([found] if isinstance(found, str) else found)]

    async def addresses(self, name):
        if name in self.hosts:
            return ["192.0.2.1"]
        raise NameNotFound(name, no_domain=True)

    async def mx(self, name):
        raise NameNotFound(name)

    ptr = mx


def spf(domain, result="pass"):
    return SpfResult(result, domain, "mailfrom")


def dkim(domain, result="pass"):
    return DkimResult(result, domain=domain)


REJECT = "v=DMARC1; p=reject"


async def test_mail_that_nothing_vouches_for_fails_with_the_owners_policy():
    found = await evaluate("Example.COM", spf("example.net"), [dkim("example.org")], Dns({"example.com": REJECT}))
    assert (found.result, found.policy, found.domain_found_at) == ("fail", "reject", "example.com")
    assert found.aligned_by == ()


async def test_one_aligned_identifier_is_enough():
    dns = Dns({"example.com": REJECT})
    by_spf = await evaluate("example.com", spf("example.com"), [dkim("example.com", "fail")], dns)
    assert (by_spf.result, by_spf.aligned_by) == ("pass", ("spf",))
    by_dkim = await evaluate("example.com", spf("example.com", "softfail"), [dkim("x.net"), dkim("example.com")], dns)
    assert (by_dkim.result, by_dkim.aligned_by, by_dkim.aligned_domains) == ("pass", ("dkim",), ("example.com",))
    by_both = await evaluate("example.com", spf("a.example.com"), [dkim("example.com")], dns)
    assert (by_both.aligned_by, by_both.aligned_domains) == (("spf", "dkim"), ("a.example.com", "example.com"))


async def test_relaxed_alignment_spans_the_organisation_and_strict_does_not():
    for name in ("example.com", "b.example.com", "deep.a.example.com"):
        found = await evaluate("a.example.com", None, [dkim(name)], Dns({"example.com": REJECT}))
        assert (found.result, found.organizational_domain) == ("pass", "example.com")
    strict = Dns({"example.com": REJECT + "; adkim=s; aspf=s"})
    assert (await evaluate("a.example.com", spf("example.com"), [dkim("example.com")], strict)).result == "fail"
    assert (await evaluate("a.example.com", None, [dkim("a.example.com")], strict)).result == "pass"
    half = Dns({"example.com": REJECT + "; adkim=s"})
    assert (await evaluate("a.example.com", spf("example.com"), [], half)).aligned_by == ("spf",)


async def test_similar_names_do_not_align():
    for name in ("evilexample.com", "example.com.evil.net", "com", "le.com"):
        found = await evaluate("example.com", spf(name), [dkim(name)], Dns({"example.com": REJECT}))
        assert found.result == "fail"


# RFC 9989 §4.10
async def test_long_name_is_walked_in_eight_queries():
    dns = Dns({})
    found = await evaluate("a.b.c.d.e.f.g.h.i.j.mail.example.com", None, [], dns)
    assert found.result == "none"
    assert dns.asked == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "_dmarc.g.h.i.j.mail.example.com",
        "_dmarc.h.i.j.mail.example.com",
        "_dmarc.i.j.mail.example.com",
        "_dmarc.j.mail.example.com",
        "_dmarc.mail.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]


# RFC 9989 §4.10.2: the three examples at its end, and the rules before them
@pytest.mark.parametrize(
    ("records", "domain", "organization"),
    [
        ({"mail.example.com": REJECT, "example.com": REJECT}, "a.mail.example.com", "example.com"),
        ({"mail.example.com": REJECT + ";psd=n", "example.com": REJECT}, "a.mail.example.com", "mail.example.com"),
        ({"com": REJECT + ";psd=y"}, "a.mail.example.com", "example.com"),
        ({"example.com": REJECT + ";psd=y"}, "a.b.mail.example.com", "mail.example.com"),
        ({"com": REJECT + "; psd=y"}, "com", "com"),
        ({"a.example.com": REJECT + "; psd=y", "example.com": REJECT}, "a.example.com", "a.example.com"),
        ({"com": REJECT}, "a.example.com", "com"),
        ({}, "a.example.com", "a.example.com"),
    ],
)
async def test_organisation_is_found_by_walking(records, domain, organization):
    assert await organizational_domain(domain, Dns(records)) == organization


@pytest.mark.parametrize(
    ("records", "found_at", "policy"),
    [
        ({"a.example.com": "v=DMARC1;p=none", "example.com": REJECT}, "a.example.com", "none"),
        ({"example.com": REJECT}, "example.com", "reject"),
        ({"example.com": "v=DMARC1; p=none; sp=quarantine"}, "example.com", "quarantine"),
        ({"example.com": "v=DMARC1; p=none; sp=quarantine; np=reject"}, "example.com", "quarantine"),
        ({"com": "v=DMARC1; p=none; sp=reject; psd=y"}, "com", "reject"),
        ({"example.com": REJECT, "com": "v=DMARC1; p=none; psd=y"}, "example.com", "reject"),
        ({"example.com": [REJECT, REJECT], "com": "v=DMARC1; p=none; psd=y"}, "com", "none"),
        ({"example.com": [REJECT, "other text"]}, "example.com", "reject"),
    ],
)
async def test_policy_is_taken_from_the_nearest_place_that_counts(records, found_at, policy):
    found = await evaluate("a.example.com", None, [], Dns(records, hosts=["a.example.com"]))
    assert (found.result, found.domain_found_at, found.policy) == ("fail", found_at, policy)


async def test_record_between_domain_and_organisation_is_not_applied():
    records = {"b.example.com": "v=DMARC1; p=none", "example.com": REJECT}
    found = await evaluate("a.b.example.com", None, [], Dns(records))
    assert (found.domain_found_at, found.policy) == ("example.com", "reject")


async def test_names_that_do_not_exist_have_a_policy_of_their_own():
    records = {"example.com": "v=DMARC1; p=none; sp=quarantine; np=reject"}
    assert (await evaluate("gone.example.com", None, [], Dns(records))).policy == "reject"
    assert (await evaluate("example.com", None, [], Dns(records))).policy == "none"
    there = await evaluate("here.example.com", None, [], Dns(records, hosts=["here.example.com"]))
    assert there.policy == "quarantine"
    without = {"example.com": "v=DMARC1; p=reject; sp=none"}
    assert (await evaluate("gone.example.com", None, [], Dns(without))).policy == "none"


@pytest.mark.parametrize(("policy", "milder"), [("reject", "quarantine"), ("quarantine", "none"), ("none", "none")])
async def test_policy_in_testing_is_one_step_milder(policy, milder):
    found = await evaluate("example.com", None, [], Dns({"example.com": f"v=DMARC1; p={policy}; t=y"}))
    assert (found.result, found.policy, found.published_policy) == ("fail", milder, policy)


async def test_signature_in_an_organisation_below_is_not_ours():
    records = {"example.com": REJECT, "customer.example.com": REJECT + "; psd=n"}
    assert (await evaluate("example.com", None, [dkim("customer.example.com")], Dns(records))).result == "fail"
    hosting = {"host.example": "v=DMARC1; p=none; psd=y"}
    found = await evaluate("a.host.example", None, [dkim("b.host.example")], Dns(hosting))
    assert (found.result, found.domain_found_at) == ("fail", "host.example")
    found = await evaluate("x.a.host.example", None, [dkim("a.host.example")], Dns(hosting))
    assert (found.result, found.organizational_domain) == ("pass", "a.host.example")


async def test_without_a_record_there_is_no_answer():
    found = await evaluate("example.com", spf("example.com"), [dkim("example.com")], Dns({}))
    assert (found.result, found.policy, found.record) == ("none", "none", None)


async def test_unreadable_policy_counts_as_none_where_reports_are_wished():
    for broken in ("v=DMARC1", "v=DMARC1; p=block", "v=DMARC1; p=reject; sp=block", "v=DMARC1; p=reject; np="):
        assert (await evaluate("example.com", None, [], Dns({"example.com": broken}))).result == "none"
        wished = Dns({"example.com": broken + "; rua=mailto:d@example.com"})
        found = await evaluate("example.com", None, [], wished)
        assert (found.result, found.policy) == ("fail", "none")
        unsaid = Dns({"example.com": broken + "; rua=nonsense"})
        assert (await evaluate("example.com", None, [], unsaid)).result == "none"


async def test_dns_that_does_not_answer_leaves_it_open():
    assert (await evaluate("example.com", None, [], Dns({"example.com": ResolverFailure("x")}))).result == "temperror"
    dns = Dns({"example.com": REJECT})
    found = await evaluate("example.com", spf("example.com", "temperror"), [], dns)
    assert (found.result, found.policy) == ("temperror", "reject")  # the caller decides what that means
    found = await evaluate("example.com", spf("example.net"), [dkim("a.example.com", "temperror")], dns)
    assert found.result == "temperror"
    found = await evaluate("example.com", spf("example.net", "temperror"), [dkim("example.org", "temperror")], dns)
    assert found.result == "fail"
    found = await evaluate("example.com", spf("example.com", "temperror"), [dkim("example.com")], dns)
    assert found.result == "pass"
    walk = Dns({"example.com": REJECT, "a.example.com": ResolverFailure("x")})
    assert (await evaluate("example.com", spf("a.example.com"), [], walk)).result == "temperror"


async def test_strangers_cost_no_look_ups():
    dns = Dns({"example.com": REJECT})
    await evaluate("example.com", spf("bounce.sender.example"), [dkim(f"d{n}.example.net") for n in range(5)], dns)
    assert dns.asked == ["_dmarc.example.com", "_dmarc.com"]


async def test_internationalised_domain_is_looked_up_in_a_labels():
    dns = Dns({"xn--bcher-kva.example": REJECT})
    found = await evaluate("Bücher.example.", None, [dkim("xn--bcher-kva.example")], dns)
    assert (found.result, found.from_domain) == ("pass", "xn--bcher-kva.example")


@pytest.mark.parametrize("domain", ["", "..", "a b.example", "x" * 64 + ".example", "[192.0.2.1]"])
async def test_what_is_no_domain_is_a_permanent_error(domain):
    assert (await evaluate(domain, None, [], Dns({}))).result == "permerror"


def test_record_is_read_leniently_and_its_version_strictly():
    record = parse(
        "v = DMARC1 ; P=Reject; adkim=S;aspf=x; psd=maybe; t=Y; pct=20; junk; rua=mailto:a@x!10m, b,https://x/y"
    )
    assert record is not None
    assert (record.policy, record.strict_dkim, record.strict_spf, record.psd) == ("reject", True, False, "u")
    assert record.is_testing
    assert record.rua == ("mailto:a@x", "https://x/y")
    for text, policy in (("v=DMARC1; p=none; p=reject", "none"), ("v=DMARC1", None)):
        record = parse(text)
        assert record is not None
        assert record.policy == policy
    for text in ("", "v=dmarc1; p=reject", "p=reject; v=DMARC1", "v=DMARC10; p=none", " v=DMARC1", "v=DMARC1 p=none"):
        assert parse(text) is None


def test_every_policy_has_a_milder_one():
    assert set(dmarc._TESTING) == set(dmarc._POLICIES)
