"""SARIF: the level of a result is that of its rule, wherever the rule is and however it was configured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from field.world import imported, states

GUID = "11111111-1111-4111-8111-111111111111"
OTHER_GUID = "22222222-2222-4222-8222-222222222222"
BAD_RULE = {"id": "x/two", "guid": GUID, "defaultConfiguration": {"level": "error"}}
MILD_RULE = {"id": "x/one", "defaultConfiguration": {"level": "note"}}
PLACE = [{"physicalLocation": {"artifactLocation": {"uri": "a.py"}, "region": {"startLine": 3}}}]
FAILED_CALL = {"executionSuccessful": True}


def log(*results: dict[str, Any], driver: Any = None, extensions: Any = None, runs: Any = (), **run: Any) -> str:
    """A log of one run (and `runs` after it): the driver's rules, the rules of each extension."""
    tool: dict[str, Any] = {"driver": {"name": "analyser", **({"rules": driver} if driver is not None else {})}}
    if extensions is not None:
        tool["extensions"] = [
            {"name": f"pack-{at}", "guid": OTHER_GUID, "rules": one} for at, one in enumerate(extensions)
        ]
    found = [{"message": {"text": "m"}, "locations": PLACE, **result} for result in results]
    return json.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": found, **run}, *runs]})


def override(level: str | None, **descriptor: Any) -> dict[str, Any]:
    """An invocation that configures a rule otherwise."""
    configuration = {"level": level} if level else {"parameters": {}}
    return {
        "executionSuccessful": True,
        "ruleConfigurationOverrides": [{"descriptor": descriptor, "configuration": configuration}],
    }


def notified(level: str | None = None, *, by: str = "toolExecutionNotifications", **more: Any) -> dict[str, Any]:
    """An invocation in which the tool told something of itself."""
    notification = {"message": {"text": "a.py could not be read"}, **more, **({"level": level} if level else {})}
    return {"executionSuccessful": True, by: [notification]}


IN_PACK = {"toolComponent": {"index": 1}}
ERRORS = {
    "rule-in-an-extension-by-index": log(
        {"ruleId": "x/two", "rule": {"id": "x/two", "index": 1, **IN_PACK}}, extensions=[[], [MILD_RULE, BAD_RULE]]
    ),
    "by-index-alone": log({"rule": {"index": 1, **IN_PACK}}, extensions=[[], [MILD_RULE, BAD_RULE]]),
    "by-the-result-s-own-index": log(
        {"ruleIndex": 1, "rule": {"toolComponent": {"index": 0}}},
        driver=[MILD_RULE],
        extensions=[[MILD_RULE, BAD_RULE]],
    ),
    "by-guid": log({"rule": {"guid": GUID}}, driver=[MILD_RULE, BAD_RULE]),
    "by-guid-in-an-extension": log({"rule": {"guid": GUID}}, driver=[MILD_RULE], extensions=[[BAD_RULE]]),
    "component-by-guid": log(
        {"rule": {"index": 0, "toolComponent": {"guid": OTHER_GUID}}}, driver=[MILD_RULE], extensions=[[BAD_RULE]]
    ),
    "component-by-name": log(
        {"rule": {"index": 0, "toolComponent": {"name": "pack-0"}}}, driver=[MILD_RULE], extensions=[[BAD_RULE]]
    ),
    "id-only-in-an-extension": log({"ruleId": "x/two"}, driver=[MILD_RULE], extensions=[[BAD_RULE]]),
    "hierarchical": log({"ruleId": "x/two/sub"}, driver=[MILD_RULE, BAD_RULE]),
    "hierarchical-twice": log({"ruleId": "x/two/sub/deep"}, driver=[MILD_RULE, BAD_RULE]),
    "hierarchical-in-an-extension": log({"ruleId": "x/two/sub", "ruleIndex": -1}, extensions=[[BAD_RULE]]),
    "called-otherwise-before": log({"ruleId": "old"}, driver=[{**BAD_RULE, "deprecatedIds": ["old"]}]),
    "raised-for-the-invocation": log(
        {"ruleId": "x/one"}, driver=[MILD_RULE], invocations=[override("error", id="x/one")]
    ),
    "raised-by-index": log({"ruleIndex": 0}, driver=[MILD_RULE], invocations=[override("error", index=0)]),
    "raised-in-its-own-invocation": log(
        {"ruleId": "x/one", "provenance": {"invocationIndex": 1}},
        driver=[MILD_RULE],
        invocations=[FAILED_CALL, override("error", id="x/one")],
    ),
    "raised-in-one-of-two": log(
        {"ruleId": "x/one"}, driver=[MILD_RULE], invocations=[FAILED_CALL, override("error", id="x/one")]
    ),
    "lowered-in-another-invocation": log(
        {"ruleId": "x/two", "provenance": {"invocationIndex": 0}},
        driver=[BAD_RULE],
        invocations=[FAILED_CALL, override("note", id="x/two")],
    ),
    "override-of-something-else": log({"ruleId": "x/two"}, driver=[BAD_RULE], invocations=[override(None, id="x/two")]),
    "raised-by-a-policy": log(
        {"ruleId": "x/one"}, driver=[MILD_RULE], policies=[{"name": "p", "rules": [{**BAD_RULE, "id": "x/one"}]}]
    ),
    "disabled-and-reported-all-the-same": log(
        {"ruleId": "x/two"}, driver=[{"id": "x/two", "defaultConfiguration": {"enabled": False, "level": "error"}}]
    ),
    "in-the-second-run": log(runs=json.loads(log({"level": "error"}))["runs"]),
    "suppression-rejected": log({"level": "error", "suppressions": [{"kind": "external", "status": "rejected"}]}),
    "unchanged-since-the-baseline": log({"level": "error", "baselineState": "unchanged"}),
}

NOT_TO_BE_FOUND = {
    "id": log({"ruleId": "no-such-rule"}, driver=[MILD_RULE]),
    "id-without-any-rules": log({"ruleId": "no-such-rule"}),
    "index": log({"ruleIndex": 7}, driver=[MILD_RULE]),
    "component": log({"rule": {"index": 0, "toolComponent": {"index": 9}}}, driver=[MILD_RULE]),
    "guid": log({"rule": {"guid": GUID}}, driver=[MILD_RULE]),
    "index-of-another-rule": log({"ruleId": "other", "ruleIndex": 0}, driver=[MILD_RULE]),
    "results-in-another-file": log(externalPropertyFileReferences={"results": [{"location": {"uri": "r.sarif"}}]}),
    "tool-told-of-an-error": log(invocations=[notified("error")]),
    "tool-is-configured-wrongly": log(invocations=[notified("error", by="toolConfigurationNotifications")]),
    "notification-raised": log(
        invocations=[
            {
                **notified(descriptor={"id": "N1"}),
                "notificationConfigurationOverrides": [
                    {"descriptor": {"id": "N1"}, "configuration": {"level": "error"}}
                ],
            }
        ],
        tool={"driver": {"name": "a", "notifications": [{"id": "N1", "defaultConfiguration": {"level": "note"}}]}},
    ),
    "did-not-end-well": log(invocations=[{"executionSuccessful": False}]),
}

FINE = {
    "mild": log({"ruleId": "x/one"}, driver=[MILD_RULE]),
    "its-own-level": log({"ruleId": "x/two", "level": "note"}, driver=[BAD_RULE]),
    "its-own-level-without-rules": log({"ruleId": "x/two", "level": "warning"}),
    "lowered": log({"ruleId": "x/two"}, driver=[BAD_RULE], invocations=[override("note", id="x/two")]),
    "lowered-in-its-invocation": log(
        {"ruleId": "x/two", "provenance": {"invocationIndex": 1}},
        driver=[BAD_RULE],
        invocations=[FAILED_CALL, override("note", id="x/two")],
    ),
    "hierarchical-and-mild": log({"ruleId": "x/one/sub"}, driver=[BAD_RULE, MILD_RULE]),
    "suppressed": log({"level": "error", "suppressions": [{"kind": "inSource"}]}),
    "absent": log({"level": "error", "baselineState": "absent"}),
    "tool-told-of-something-mild": log(invocations=[notified("warning")]),
    "odd-locations": log({"level": "note", "locations": [{"physicalLocation": {"artifactLocation": {"uri": 7}}}]}),
    **{
        f"kind-{kind}": log({"ruleId": "x/two", "kind": kind}, driver=[BAD_RULE])
        for kind in ("pass", "notApplicable", "informational", "open", "review")
    },
}


def test_a_level_is_found_wherever_the_rule_is(tmp_path: Path) -> None:
    judged = imported(tmp_path, ERRORS, ".sarif")
    assert states(judged) == dict.fromkeys(ERRORS, "fail")
    assert judged["rule-in-an-extension-by-index"].names["failed"] == ["x/two a.py:3"]


def test_what_cannot_be_known_does_not_pass(tmp_path: Path) -> None:
    judged = imported(tmp_path, NOT_TO_BE_FOUND, ".sarif")
    assert states(judged) == dict.fromkeys(NOT_TO_BE_FOUND, "fail")
    assert "no-such-rule" in judged["id"].reason
    assert "a.py could not be read" in judged["tool-told-of-an-error"].reason


def test_what_is_no_error_passes(tmp_path: Path) -> None:
    judged = imported(tmp_path, FINE, ".sarif")
    assert states(judged) == dict.fromkeys(FINE, "pass")
    assert [one.names.get("failed", []) for one in judged.values()] == [[]] * len(FINE)
    assert "have to be reviewed" in judged["kind-review"].reason
