"""Buckets, logs and the key that encrypts them."""

from __future__ import annotations

import json

from tests.template.rules.registry import NO_VALUE, Findings, if_condition, is_our_key, rule
from tests.template.stack import Template, of_type, target


@rule
def buckets_are_private_and_encrypted(template: Template) -> Findings:
    for name, bucket in of_type(template, "S3::Bucket"):
        blocked = bucket.get("PublicAccessBlockConfiguration", {})
        switches = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        yield from (f"{name} lacks {switch}" for switch in switches if blocked.get(switch) is not True)
        ownership = bucket.get("OwnershipControls", {}).get("Rules", [{}])[0].get("ObjectOwnership")
        encryption = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [{}])[0]
        default, fallback = if_condition(encryption.get("ServerSideEncryptionByDefault", {}), "HasKey")
        lifecycle = json.dumps(bucket.get("LifecycleConfiguration", {}))
        wrong = {
            "must enforce bucket owner ownership": ownership != "BucketOwnerEnforced",
            "must be encrypted with our key": target(default.get("KMSMasterKeyID")) != "Key",
            "must use SSE-KMS": default.get("SSEAlgorithm") != "aws:kms",
            "must be encrypted without our key too": fallback != {"SSEAlgorithm": "AES256"},
            "needs a bucket key": if_condition(encryption.get("BucketKeyEnabled"), "HasKey") != (True, NO_VALUE),
            "must keep versions": bucket.get("VersioningConfiguration", {}).get("Status") != "Enabled",
            "must expire superseded versions": "NoncurrentVersionExpiration" not in lifecycle,
            "must clean up broken uploads": "AbortIncompleteMultipartUpload" not in lifecycle,
            "needs a choice of DeletionPolicy": "DeletionPolicy" not in template["Resources"][name],
            "must expire its objects": name != "ArtifactBucket" and '"ExpirationInDays"' not in lifecycle,
        }
        yield from (f"{name} {problem}" for problem, is_wrong in wrong.items() if is_wrong)
    if template["Resources"]["ArtifactBucket"]["DeletionPolicy"] != "Retain":
        yield "ArtifactBucket must outlive the stack"


@rule
def buckets_demand_tls_and_our_key(template: Template) -> Findings:
    policies = {target(policy["Bucket"]): policy for _, policy in of_type(template, "S3::BucketPolicy")}
    for name, _ in of_type(template, "S3::Bucket"):
        statements = policies.get(name, {}).get("PolicyDocument", {}).get("Statement", [])
        denials = [json.dumps(s) for s in statements if s["Effect"] == "Deny" and s["Principal"] == "*"]
        for key in ('"aws:SecureTransport": "false"', '"s3:TlsVersion": "1.2"', "aws-kms-key-id"):
            if not any(key in denial for denial in denials):
                yield f"{name} has no denial on {key}"
        for denial in denials:
            if "SecureTransport" in denial and not ("s3:*" in denial and f"${{{name}.Arn}}/*" in denial):
                yield f"{name} denies plain HTTP only partly"
        yield from (f"{name} is opened by its policy" for s in statements if s["Effect"] == "Allow")


@rule
def logs_are_kept_for_a_time_and_encrypted(template: Template) -> Findings:
    for name, group in of_type(template, "Logs::LogGroup"):
        if "RetentionInDays" not in group:
            yield f"{name} keeps logs for ever"
        if not is_our_key(group.get("KmsKeyId")):
            yield f"{name} must be encrypted with our key"


@rule
def the_key_rotates_and_serves_this_account(template: Template) -> Findings:
    for name, key in of_type(template, "KMS::Key"):
        if template["Resources"][name].get("Condition") != "HasKey":
            yield f"{name} is paid for without being asked for"
        if key.get("EnableKeyRotation") is not True:
            yield f"{name} must rotate"
        if template["Resources"][name].get("DeletionPolicy") != "Retain":
            yield f"{name} must outlive the stack, as what it encrypts does"
        for statement in key["KeyPolicy"]["Statement"]:
            if "Service" in statement["Principal"] and "Condition" not in statement:
                yield f"{name}: {statement['Sid']} serves every account"
            if statement["Principal"] in ("*", {"AWS": "*"}):
                yield f"{name}: {statement['Sid']} serves everyone"
