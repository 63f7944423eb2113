"""What the deployment promises: private, encrypted, authenticated, least privilege, and no event lost quietly."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from tests.template.template import listed, load, resources, statements, strings

from bucketlens import keys
from bucketlens.settings import Settings

TEMPLATE = load()
FUNCTIONS = resources(TEMPLATE, "AWS::Serverless::Function")
ROLES = resources(TEMPLATE, "AWS::IAM::Role")
QUEUES = resources(TEMPLATE, "AWS::SQS::Queue")
(BUCKET,) = resources(TEMPLATE, "AWS::S3::Bucket").values()

ALLOWED = {
    "ingest": {
        "s3:GetObject": {"images", "index", "models"},
        "s3:GetObjectTagging": {"images"},
        "s3:PutObject": {"index log"},
        "s3:ListBucket": {"bucket"},
        "sqs:ReceiveMessage": {"queue"},
        "sqs:DeleteMessage": {"queue"},
        "sqs:GetQueueAttributes": {"queue"},
        "logs:CreateLogStream": {"log"},
        "logs:PutLogEvents": {"log"},
    },
    "query": {
        "s3:GetObject": {"images", "index", "models"},
        "s3:ListBucket": {"bucket"},
        "logs:CreateLogStream": {"log"},
        "logs:PutLogEvents": {"log"},
    },
    "compact": {
        "s3:GetObject": {"index"},
        "s3:PutObject": {"index"},
        "s3:DeleteObject": {"index"},
        "s3:ListBucket": {"bucket"},
        "sqs:ReceiveMessage": {"compactqueue"},
        "sqs:DeleteMessage": {"compactqueue"},
        "sqs:GetQueueAttributes": {"compactqueue"},
        "logs:CreateLogStream": {"log"},
        "logs:PutLogEvents": {"log"},
    },
}
"""Action -> what it reaches, for each function: the whole of what a function may do."""


def test_nobody_outside_the_account_can_read_the_bucket() -> None:
    assert set(BUCKET["PublicAccessBlockConfiguration"].values()) == {True}
    assert BUCKET["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_the_bucket_is_encrypted_and_outlives_the_stack() -> None:
    rules = BUCKET["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert rules[0]["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert TEMPLATE["Resources"]["Bucket"]["DeletionPolicy"] == "Retain"
    assert TEMPLATE["Resources"]["Bucket"]["UpdateReplacePolicy"] == "Retain"


def test_uploads_that_were_never_finished_are_swept_away() -> None:
    rules = BUCKET["LifecycleConfiguration"]["Rules"]

    assert any("AbortIncompleteMultipartUpload" in rule and rule["Status"] == "Enabled" for rule in rules)


def test_no_lifecycle_rule_expires_a_current_object() -> None:
    rules = BUCKET["LifecycleConfiguration"]["Rules"]

    assert not any(key.startswith("Expiration") for rule in rules for key in rule)


@pytest.mark.parametrize("policy", ["BucketPolicy", "QueuePolicy", "CompactQueuePolicy", "DeadLetterQueuePolicy"])
def test_a_connection_without_tls_is_refused(policy: str) -> None:
    lines = TEMPLATE["Resources"][policy]["Properties"]["PolicyDocument"]["Statement"]

    assert any(
        line["Effect"] == "Deny" and line["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for line in lines
    )


def test_queues_are_encrypted_and_those_of_images_keep_messages_as_long_as_sqs_can() -> None:
    assert set(QUEUES) == {"Queue", "DeadLetterQueue", "CompactQueue"}
    assert all(queue["SqsManagedSseEnabled"] is True for queue in QUEUES.values())
    assert {QUEUES[name]["MessageRetentionPeriod"] for name in ("Queue", "DeadLetterQueue")} == {14 * 86400}


@pytest.mark.parametrize("queue", ["Queue", "CompactQueue"])
def test_only_this_bucket_of_this_account_may_write_to_a_queue(queue: str) -> None:
    lines = TEMPLATE["Resources"][f"{queue}Policy"]["Properties"]["PolicyDocument"]["Statement"]
    (line,) = [line for line in lines if line["Effect"] == "Allow"]

    assert line["Principal"] == {"Service": "s3.amazonaws.com"}
    assert line["Action"] == "sqs:SendMessage"
    assert line["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert line["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    named = line["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::If"][1:]
    bucket = BUCKET["BucketName"]["Fn::If"][1:]
    assert list(strings(named)) == [f"arn:${{AWS::Partition}}:s3:::{name}" for name in written(bucket)]


def notified(queue: str) -> list[dict[str, Any]]:
    lines = BUCKET["NotificationConfiguration"]["QueueConfigurations"]
    lines = [line["Fn::If"][1] if "Fn::If" in line else line for line in lines]
    return [line for line in lines if line["Queue"] == {"Fn::GetAtt": [queue, "Arn"]}]


def test_the_bucket_notifies_the_queue_of_every_change_under_the_images_prefix_and_of_nothing_else() -> None:
    lines = notified("Queue")

    assert {line["Event"] for line in lines} == {
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:LifecycleExpiration:*",
        "s3:ObjectRestore:Completed",
        "s3:ObjectTagging:*",
    }
    for line in lines:
        (rule,) = line["Filter"]["S3Key"]["Rules"]
        assert rule == {"Name": "prefix", "Value": {"Ref": "ImagesPrefix"}}
    assert TEMPLATE["Resources"]["Bucket"]["DependsOn"] == ["QueuePolicy", "CompactQueuePolicy"]


def test_compaction_is_woken_by_what_is_written_to_the_log_and_not_by_manifests() -> None:
    (line,) = notified("CompactQueue")
    rules = {rule["Name"]: rule["Value"] for rule in line["Filter"]["S3Key"]["Rules"]}

    def told(key: str) -> bool:
        return key.startswith(rules["prefix"]) and key.endswith(rules["suffix"])

    assert line["Event"] == "s3:ObjectCreated:*"
    assert told(keys.render(keys.Segment("shop", "1-a")))
    assert not told(keys.render(keys.Manifest("shop")))
    assert not TEMPLATE["Parameters"]["ImagesPrefix"]["Default"].startswith(rules["prefix"]), "filters must not overlap"


def test_a_burst_wakes_compaction_once_and_a_wake_up_that_fails_is_dropped_in_the_end() -> None:
    function, queue = FUNCTIONS["CompactFunction"], QUEUES["CompactQueue"]
    source, window = function["Events"]["Written"]["Properties"], TEMPLATE["Parameters"]["CompactWindow"]

    assert source["Queue"] == {"Fn::GetAtt": ["CompactQueue", "Arn"]}
    assert source["MaximumBatchingWindowInSeconds"] == {"Ref": "CompactWindow"}
    assert (source["BatchSize"], source["ScalingConfig"]) == (10_000, {"MaximumConcurrency": 2})
    assert 60 <= window["Default"] <= window["MaxValue"] == 300
    assert queue["VisibilityTimeout"] >= function["Timeout"] + window["MaxValue"]
    assert queue["VisibilityTimeout"] < queue["MessageRetentionPeriod"] <= 86_400
    assert "RedrivePolicy" not in queue
    assert function["Events"]["Schedule"]["Properties"]["ScheduleExpression"] == {"Ref": "CompactSchedule"}


def test_a_batch_is_not_delivered_again_while_it_may_still_run() -> None:
    source = FUNCTIONS["IngestFunction"]["Events"]["Queue"]["Properties"]
    needed = 6 * FUNCTIONS["IngestFunction"]["Timeout"] + source["MaximumBatchingWindowInSeconds"]

    assert QUEUES["Queue"]["VisibilityTimeout"] >= needed


def test_only_the_messages_that_failed_come_again_and_in_the_end_lie_in_the_dead_letter_queue() -> None:
    source = FUNCTIONS["IngestFunction"]["Events"]["Queue"]["Properties"]

    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert QUEUES["Queue"]["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert QUEUES["Queue"]["RedrivePolicy"]["maxReceiveCount"] >= 3


def test_an_alarm_watches_the_dead_letter_queue() -> None:
    alarms = resources(TEMPLATE, "AWS::CloudWatch::Alarm")

    watched = [alarm["Dimensions"][0]["Value"] for alarm in alarms.values() if alarm["Threshold"] == 0]
    assert {"Fn::GetAtt": ["DeadLetterQueue", "QueueName"]} in watched


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_function_may_do_what_it_needs_and_nothing_else(name: str) -> None:
    granted: dict[str, set[str]] = {}
    for line in statements(ROLES[f"{name.title()}Role"]):
        assert line["Effect"] == "Allow"
        for action in listed(line["Action"]):
            granted.setdefault(action, set()).update(reach(resource) for resource in listed(line["Resource"]))

    assert granted == ALLOWED[name]
    assert FUNCTIONS[f"{name.title()}Function"]["Role"] == {"Fn::GetAtt": [f"{name.title()}Role", "Arn"]}


def test_no_policy_allows_an_action_or_a_resource_by_wildcard() -> None:
    for role in ROLES.values():
        assert "ManagedPolicyArns" not in role
        for line in statements(role):
            assert not [action for action in listed(line["Action"]) if "*" in action]
            assert "*" not in listed(line["Resource"])


def test_a_listing_is_allowed_only_below_the_prefixes_a_function_reads() -> None:
    for role in ROLES.values():
        for line in statements(role):
            if "s3:ListBucket" in listed(line["Action"]):
                prefixes = list(strings(line["Condition"]["StringLike"]["s3:prefix"]))
                assert set(prefixes) <= {"${ImagesPrefix}*", "index/*", "models/*"}


def test_tags_may_be_read_only_where_they_become_metadata() -> None:
    (asked,) = [
        line["Fn::If"]
        for policy in ROLES["IngestRole"]["Policies"]
        for line in policy["PolicyDocument"]["Statement"]
        if "s3:GetObjectTagging" in strings(line)
    ]
    assert (asked[0], asked[2]) == ("ReadsTags", {"Ref": "AWS::NoValue"})


def test_every_log_has_an_end() -> None:
    groups = resources(TEMPLATE, "AWS::Logs::LogGroup")

    assert len(groups) == len(FUNCTIONS) + 1
    assert all("RetentionInDays" in group for group in groups.values())


def test_every_variable_that_is_set_is_one_the_settings_read() -> None:
    known = {field.name.upper() for field in dataclasses.fields(Settings)} | {"AWS_ENDPOINT_URL"}
    shared = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    own = [function.get("Environment", {}).get("Variables", {}) for function in FUNCTIONS.values()]

    assert set(shared).union(*own) <= known
    assert "BUCKET" in shared


@pytest.mark.parametrize(("disk", "cache", "share"), [("QueryDisk", "Bytes", 0.8), ("CompactDisk", "BesideBuild", 0.5)])
def test_a_disk_always_has_room_for_the_cache(disk: str, cache: str, share: float) -> None:
    sizes = TEMPLATE["Mappings"]["DiskToCache"]
    function = FUNCTIONS[f"{disk.removesuffix('Disk')}Function"]

    assert function["Environment"]["Variables"]["CACHE_BYTES"] == {
        "Fn::FindInMap": ["DiskToCache", {"Ref": disk}, cache]
    }
    assert set(sizes) == set(TEMPLATE["Parameters"][disk]["AllowedValues"])
    for megabytes, entry in sizes.items():
        assert int(entry[cache]) <= share * int(megabytes) * 1024 * 1024


def test_a_model_from_the_bucket_fits_on_the_disk_of_ingest() -> None:
    assert FUNCTIONS["IngestFunction"]["EphemeralStorage"] == {"Size": {"Ref": "IngestDisk"}}
    assert TEMPLATE["Parameters"]["IngestDisk"]["Default"] >= 2 * 600, "CLIP B/32 in fp32 has 600 MB"


def test_functions_run_where_the_layers_were_built_for() -> None:
    shared = TEMPLATE["Globals"]["Function"]
    layers = resources(TEMPLATE, "AWS::Serverless::LayerVersion")

    assert (shared["Runtime"], shared["Architectures"]) == ("python3.13", ["x86_64"])
    assert {layer["Ref"] for layer in shared["Layers"]} == set(layers)
    assert len(layers) <= 5
    for layer in layers.values():
        assert (layer["CompatibleRuntimes"], layer["CompatibleArchitectures"]) == (["python3.13"], ["x86_64"])


def reach(resource: Any) -> str:
    """What a resource of a policy is, in a word."""
    if "Fn::GetAtt" in resource:
        name = resource["Fn::GetAtt"][0]
        return "log" if name.endswith("Log") else str(name).lower()
    words = {
        "${Bucket.Arn}/${ImagesPrefix}*": "images",
        "${Bucket.Arn}/index/*": "index",
        "${Bucket.Arn}/index/*/log/*": "index log",
        "${Bucket.Arn}/models/*": "models",
    }
    return words[resource["Fn::Sub"]]


def written(names: list[Any]) -> list[str]:
    """``!Ref BucketName`` and ``!Sub ...`` as they read inside another ``!Sub``."""
    return [f"${{{name['Ref']}}}" if "Ref" in name else re.sub(r"\s", "", name["Fn::Sub"]) for name in names]
