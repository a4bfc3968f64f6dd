from __future__ import annotations

import importlib
import ipaddress
import warnings
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from posthouse.wire import spf_record
from posthouse.wire.resolver import NameNotFound, ResolverFailure
from posthouse.wire.spf import check_spf

with warnings.catch_warnings():
    # Its source has escape sequences that newer Pythons warn about when compiling it.
    warnings.simplefilter("ignore")
    pyspf: Any = importlib.import_module("spf")


class Zone:
    """Records as {name: {type: [values]}}; a type whose value is an exception raises it."""

    def __init__(self, names):
        self.names = names
        self.asked = []

    def find(self, name, *types):
        self.asked.append((types[0], name))
        records = self.names.get(name.lower().rstrip("."), {})
        found = []
        for kind in types:
            if isinstance(records.get(kind), Exception):
                raise records[kind]
            found += records.get(kind, [])
        if not found:
            raise NameNotFound(name, no_domain=not records)
        return found

    async def txt(self, name):
        return [text.encode() if isinstance(text, str) else text for text in self.find(name, "TXT")]

    async def mx(self, name):
        return self.find(name, "MX")

    async def addresses(self, name):
        return self.find(name, "A", "AAAA")

    async def ptr(self, address):
        return self.find(ipaddress.ip_address(address).reverse_pointer, "PTR")


# RFC 7208 appendix A
APPENDIX_A = {
    "example.com": {
        "A": ["192.0.2.10", "192.0.2.11"],
        "MX": [(10, "mail-a.example.com"), (20, "mail-b.example.com")],
    },
    "amy.example.com": {"A": ["192.0.2.65"]},
    "bob.example.com": {"A": ["192.0.2.66"]},
    "mail-a.example.com": {"A": ["192.0.2.129"]},
    "mail-b.example.com": {"A": ["192.0.2.130"]},
    "example.org": {"MX": [(10, "mail-c.example.org")]},
    "mail-c.example.org": {"A": ["192.0.2.140"]},
    "10.2.0.192.in-addr.arpa": {"PTR": ["example.com"]},
    "65.2.0.192.in-addr.arpa": {"PTR": ["amy.example.com"]},
    "66.2.0.192.in-addr.arpa": {"PTR": ["bob.example.com"]},
    "129.2.0.192.in-addr.arpa": {"PTR": ["mail-a.example.com"]},
    "140.2.0.192.in-addr.arpa": {"PTR": ["mail-c.example.org"]},
    "4.0.0.10.in-addr.arpa": {"PTR": ["bob.example.com"]},
    "mobile-users._spf.example.com": {"TXT": ["v=spf1 exists:%{l1r+}.%{d}"]},
    "remote-users._spf.example.com": {"TXT": ["v=spf1 exists:%{ir}.%{l1r+}.%{d}"]},
    "mary.mobile-users._spf.example.com": {"A": ["127.0.0.2"]},
    "15.15.168.192.joel.remote-users._spf.example.com": {"A": ["127.0.0.2"]},
    "ip4._spf.example.com": {"TXT": ["v=spf1 -ip4:192.0.2.0/24 +all"]},
    "ptr._spf.example.com": {"TXT": ["v=spf1 -ptr:example.com +all"]},
}


def zone(record, names=None, **more):
    names = dict(APPENDIX_A if names is None else names)
    names["example.com"] = names.get("example.com", {}) | {"TXT": [record] if isinstance(record, str) else record}
    return Zone(names | more)


async def result(record, ip="192.0.2.1", sender="user@example.com", names=None):
    return await check_spf(ip, sender, "mail.example.net", zone(record, names), receiver="mx.receiver.example")


@pytest.mark.parametrize(
    ("record", "passing", "failing"),
    [
        ("v=spf1 +all", "192.0.2.10 203.0.113.9 2001:db8::1", ""),
        ("v=spf1 a -all", "192.0.2.10 192.0.2.11", "192.0.2.12"),
        ("v=spf1 a:example.org -all", "", "192.0.2.10"),
        ("v=spf1 mx -all", "192.0.2.129 192.0.2.130", "192.0.2.10"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "192.0.2.129"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.129 192.0.2.130 192.0.2.140", "192.0.2.65"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131 192.0.2.143", "192.0.2.132 192.0.2.144"),
        ("v=spf1 ptr -all", "192.0.2.65", "192.0.2.140 10.0.0.4"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "192.0.2.65"),
        ("v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all", "192.0.2.65", "203.0.113.1 192.0.2.140"),
    ],
)
async def test_simple_examples_of_rfc_7208_appendix_a(record, passing, failing):
    for ip in passing.split():
        assert (await result(record, ip)).result == "pass", ip
    for ip in failing.split():
        assert (await result(record, ip)).result == "fail", ip


async def test_per_user_example_of_rfc_7208_appendix_a_3():
    record = "v=spf1 mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all"
    for ip, sender, expected in [
        ("203.0.113.1", "mary@example.com", "pass"),
        ("203.0.113.1", "joel@example.com", "fail"),
        ("192.168.15.15", "joel@example.com", "pass"),
        ("192.168.15.15", "fred@example.com", "fail"),
    ]:
        assert (await result(record, ip, sender)).result == expected


# RFC 7208 §7.4
@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("%%%_%-", "% %20"),
        ("%{c} %{r} %{t} %{h} %{p}", "192.0.2.3 mx 7 helo.example unknown"),
    ],
)
def test_macros_of_rfc_7208_7_4(macro, expected):
    values = spf_record.MacroValues(
        sender="strong-bad@email.example.com", domain="email.example.com",
        ip=ipaddress.ip_address("192.0.2.3"), helo="helo.example", validated="unknown", receiver="mx", at_s=7,
    )  # fmt: skip
    assert spf_record.expand(macro, values) == expected


def test_ipv6_macro_of_rfc_7208_7_4():
    values = spf_record.MacroValues(
        sender="a@b.example", domain="email.example.com", ip=ipaddress.ip_address("2001:db8::cb01"),
        helo="h", validated="unknown", receiver="mx", at_s=0,
    )  # fmt: skip
    assert spf_record.expand("%{ir}.%{v}._spf.%{d2}", values) == (
        "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"
    )


async def test_qualifiers_have_their_results():
    for qualifier, expected in {"": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}.items():
        found = await result(f"v=spf1 {qualifier}ip4:192.0.2.1 -all")
        assert (found.result, found.mechanism) == (expected, f"{qualifier}ip4:192.0.2.1")
    found = await result("v=spf1")
    assert (found.result, found.mechanism) == ("neutral", "default")


async def test_ipv6_clients_are_held_against_ipv6_addresses():
    record = "v=spf1 ip6:2001:db8::/32 a:six.example//64 -all"
    names = {"six.example": {"AAAA": ["2001:db9::1"], "A": ["192.0.2.1"]}}
    assert (await result(record, "2001:db8:5::1", names=names)).result == "pass"
    assert (await result(record, "2001:db9::ffff", names=names)).result == "pass"
    assert (await result(record, "2001:db9:0:1::1", names=names)).result == "fail"
    assert (await result(record, "::ffff:192.0.2.1", names=names)).result == "pass"


async def test_null_reverse_path_checks_the_helo_name():
    found = await check_spf("192.0.2.1", "", "Example.COM", zone("v=spf1 exists:%{l}.x.example -all"))
    assert (found.identity, found.domain, found.result) == ("helo", "example.com", "fail")


@pytest.mark.parametrize(
    "sender", ["user@localhost", "user@a..example", "user@" + "a" * 64 + ".example", "x@[1.2.3.4]"]
)
async def test_sender_without_a_real_domain_is_none(sender):
    found = await check_spf("192.0.2.1", sender, "h", Zone({}))
    assert (found.result, found.reason) == ("none", "no domain that could have a record")


async def test_domain_without_record_is_none():
    assert (await result(["hello", "v=spf10 -all", "v=spf1x"])).result == "none"
    assert (await result([])).result == "none"


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 unknown -all", "v=spf1 ip4:192.0.2.1.5 -all", "v=spf1 ip4:192.0.2.0/33 -all",
        "v=spf1 ip4:192.0.2.0/024 -all", "v=spf1 ip6:::1/129 -all", "v=spf1 ip4 -all", "v=spf1 a: -all",
        "v=spf1 all:x", "v=spf1 all/8", "v=spf1 include -all", "v=spf1 a:com -all", "v=spf1 a:1.2.3.4 -all",
        "v=spf1 a:%{x}.example -all", "v=spf1 a:%{d0}.example -all", "v=spf1 a:%x.example -all",
        "v=spf1 exists:%{c}.example -all", "v=spf1 a/33 -all", "v=spf1 a//129 -all", "v=spf1 +all -what",
        "v=spf1 redirect=a.example redirect=b.example", "v=spf1 exp=a.example exp=b.example -all",
        "v=spf1 redirect= -all", "v=spf1 -all x=%{", "v=spf1 \t-all", "v=spf1 ip6:fe80::1%eth0 -all",
        "v=spf1 -all ü",
    ],
)  # fmt: skip
async def test_any_error_in_the_record_is_permanent(record):
    found = await result(record)
    assert found.result == "permerror"
    assert "example.com" in found.reason


async def test_two_records_are_an_error():
    assert (await result(["v=spf1 +all", "V=SPF1 -all"])).result == "permerror"


async def test_unknown_modifiers_are_ignored():
    assert (await result("v=spf1 op=x moo.cow-far_out=man:%{d} -all")).result == "fail"


async def test_include_matches_only_a_pass():
    def names(record):
        return {"other.example": {"TXT": [record]}}

    for other, expected in {
        "v=spf1 +all": "pass", "v=spf1 -all": "softfail", "v=spf1 ~all": "softfail", "v=spf1 ?all": "softfail",
        "v=spf1 redirect=": "permerror", "hello": "permerror",
    }.items():  # fmt: skip
        assert (await result("v=spf1 include:other.example ~all", names=names(other))).result == expected
    broken = {"other.example": {"TXT": ResolverFailure("x")}}
    assert (await result("v=spf1 include:other.example ~all", names=broken)).result == "temperror"


async def test_redirect_takes_over_where_nothing_matches():
    names = {"other.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}}
    assert (await result("v=spf1 redirect=other.example", names=names)).result == "pass"
    assert (await result("v=spf1 ~all redirect=other.example", names=names)).result == "softfail"
    assert (await result("v=spf1 redirect=nowhere.example", names=names)).result == "permerror"


async def test_eleventh_look_up_is_an_error():
    names = {f"h{n}.example": {"A": ["203.0.113.1"]} for n in range(12)}
    ten = " ".join(f"a:h{n}.example" for n in range(10))
    found = await result(f"v=spf1 {ten} ip4:192.0.2.1 -all", names=names)
    assert (found.result, found.lookups) == ("pass", 10)
    found = await result(f"v=spf1 {ten} a:h10.example -all", names=names)
    assert (found.result, found.reason) == ("permerror", "more than 10 look-ups")


async def test_loop_ends_at_the_limit():
    assert (await result("v=spf1 include:example.com -all", names={})).result == "permerror"
    assert (await result("v=spf1 redirect=example.com", names={})).result == "permerror"


async def test_third_empty_look_up_is_an_error():
    assert (await result("v=spf1 a:n1.example a:n2.example -all", names={})).result == "fail"
    found = await result("v=spf1 a:n1.example mx:n2.example exists:n3.example -all", names={})
    assert found.result == "permerror"


async def test_host_of_the_other_address_family_is_no_empty_look_up():
    names = {f"h{n}.example": {"A": ["203.0.113.1"]} for n in range(3)}
    record = "v=spf1 a:h0.example a:h1.example a:h2.example ip6:2001:db8::/32 -all"
    assert (await result(record, "2001:db8::1", names=names)).result == "pass"


async def test_eleven_mail_exchangers_are_an_error():
    def names(count):
        hosts = {f"m{n}.example": {"A": ["203.0.113.1"]} for n in range(count)}
        return hosts | {"many.example": {"MX": [(10, f"m{n}.example") for n in range(count)]}}

    assert (await result("v=spf1 mx:many.example -all", names=names(10))).result == "fail"
    assert (await result("v=spf1 mx:many.example -all", names=names(11))).result == "permerror"


async def test_only_ten_reverse_names_are_tried():
    names = {f"n{n}.example.com": {"A": ["203.0.113.1"]} for n in range(11)}
    names["n10.example.com"] = {"A": ["192.0.2.1"]}
    names["1.2.0.192.in-addr.arpa"] = {"PTR": [f"n{n}.example.com" for n in range(11)]}
    assert (await result("v=spf1 ptr -all", names=names)).result == "fail"
    names["1.2.0.192.in-addr.arpa"]["PTR"].reverse()
    assert (await result("v=spf1 ptr -all", names=names)).result == "pass"


@pytest.mark.parametrize("kind", ["TXT", "A", "MX"])
async def test_dns_that_does_not_answer_is_temporary(kind):
    record = {"A": "v=spf1 a:x.example -all", "MX": "v=spf1 mx:x.example -all", "TXT": "v=spf1 include:x.example"}
    found = await result(record[kind], names={"x.example": {kind: ResolverFailure("x")}})
    assert found.result == "temperror"


async def test_explanation_of_a_fail_is_expanded():
    names = {"why.example": {"TXT": ["%{i} is not one of %{d}'s mail servers, says %{r} at %{t}"]}}
    found = await result("v=spf1 exp=why.example -all", names=names)
    assert found.explanation == "192.0.2.1 is not one of example.com's mail servers, says mx.receiver.example at 0"
    assert (await result("v=spf1 exp=why.example ~all", names=names)).explanation == ""


@pytest.mark.parametrize("texts", [[], ["one", "two"], ["bad %{x}"], ["gr\u00fcn"], ["tab\t"], ResolverFailure("x")])
async def test_explanation_that_cannot_be_had_is_left_out(texts):
    found = await result("v=spf1 exp=why.example -all", names={"why.example": {"TXT": texts}})
    assert (found.result, found.explanation) == ("fail", "")


async def test_local_parts_no_name_can_hold_match_nothing():
    for sender in (f"{'x' * 70}@example.com", "a..b@example.com", "a\\b@example.com", "@example.com"):
        found = await result("v=spf1 exists:%{l}.x.example ~all", sender=sender, names={})
        assert found.result == "softfail"


async def test_long_names_are_cut_from_the_left():
    sender = ".".join(["label"] * 60) + "@example.com"
    checked = zone("v=spf1 exists:%{l}.%{d} -all", {})
    await check_spf("192.0.2.1", sender, "h", checked)
    name = checked.asked[-1][1]
    assert len(name) <= 253
    assert name.endswith("label.example.com")


async def test_huge_record_is_read_in_linear_time():
    assert (await result("v=spf1 " + "a/1" * 20_000 + " -all")).result == "permerror"
    assert (await result("v=spf1 a:" + "%{d}" * 15_000 + ".example -all")).result in ("fail", "permerror")


TERMS = st.lists(
    st.sampled_from(
        ["a", "mx", "ptr", "-a:h.example", "~mx:h.example/24", "include:i.example", "?include:j.example", "all",
         "-all", "ip4:192.0.2.0/30", "ip6:2001:db8::/64", "exists:%{ir}.e.example", "redirect=i.example",
         "a:%{l}.example//64", "exists:%{l1r+-}.%{d2}", "a:none.example", "junk", "exp=x.example", "A:H.example",
         "mx:none.example", "redirect=none.example"]
    ),
    max_size=5,
)  # fmt: skip
NAMES = {
    "h.example": {"A": ["192.0.2.1"], "MX": [(1, "h.example")], "AAAA": ["2001:db8::2"]},
    "example.com": {"A": ["192.0.2.9"], "AAAA": ["2001:db8::9"], "MX": [(5, "h.example")]},
    "i.example": {"TXT": ["v=spf1 ip4:192.0.2.2 ~all"]},
    "j.example": {"TXT": ["v=spf1 include:i.example a:h.example -all"]},
    "2.2.0.192.e.example": {"A": ["127.0.0.1"]},
    "ann.example.com": {"A": ["127.0.0.1"]},
    "2.2.0.192.in-addr.arpa": {"PTR": ["x.example.com"]},
    "x.example.com": {"A": ["192.0.2.2"]},
    "x.example": {"TXT": ["go away"]},
}


@given(TERMS, st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.77", "2001:db8::2"]))
@settings(max_examples=150, deadline=None)
async def test_we_agree_with_another_checker(terms, ip):
    record = " ".join(["v=spf1", *terms])
    checked = zone(record, NAMES)
    ours = await check_spf(ip, "ann@example.com", "mail.example.net", checked)
    assume(ours.lookups < 10)  # the other one counts a redirect= that is never followed

    def lookup(name, kind, strict=True, timeout=0, *rest):
        found = checked.names.get(name.lower().rstrip("."), {}).get(kind, [])
        return [((name, kind), [v.encode()] if kind == "TXT" else v) for v in found]

    before, pyspf.DNSLookup = pyspf.DNSLookup, lookup
    try:
        theirs = pyspf.check2(i=ip, s="ann@example.com", h="mail.example.net")[0]
    finally:
        pyspf.DNSLookup = before
    assert ours.result == theirs, record
