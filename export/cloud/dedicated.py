"""Functions of single models: rows of hearth.toml, expanded into resources and exact routes of the template.

    [[dedicated]]
    model = "my-model"
    task = "text-classification"
    memory = 3538

`hearth template` prints the expanded template, which `hearth deploy` builds. The code is that of the task's folder in
functions/, with the layers of its input alone. Exact routes win over those with {name}, which still lead to the shared
function for names with a version or an alias. Uploads and batches are worked off by the jobs function.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from hearth.errors import BadRequest
from hearth.strict_json import decode_text
from hearth.task_table import TASKS, TaskRow

FILE = "hearth.toml"
INPUT_LAYERS: dict[str, tuple[str, ...]] = {
    "text": (),
    "table": (),
    "tensors": (),
    "image": ("Vision", "Video"),
    "audio": ("Audio", "Video"),
    "video": ("Vision", "Video"),
}
"""The layers that decode each kind of input, beside Core and Runtime; FFmpeg, in Video, also decodes HEIC, AVIF and the
sound of phones."""
ROUTES_MARK = "          # `hearth deploy` adds the exact routes of hearth.toml here.\n"
RESOURCES_MARK = "  # `hearth deploy` adds the functions of hearth.toml here.\n"
"""Lines of template.yaml that the rows' routes and resources replace."""


class Dedicated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row: a model with a function of its own."""

    model: str
    task: str
    memory: int = 1769
    """Megabytes."""
    seconds: int = 900
    """Timeout of a request."""
    concurrency: int = 0
    """Reserved concurrency; 0: none."""
    provisioned: int = 0
    """Environments that are kept warm; 0: none."""
    provider: str = "cpu"
    """Execution provider: `cpu`, or `openvino` for pictures."""

    @property
    def id(self) -> str:
        """Prefix of the logical ids: letters and digits alone, and different for each legal name."""
        words = re.sub(r"[^a-z0-9]", lambda match: f"{ord(match[0]):X}".rjust(3, "Z"), self.model)
        return f"Model{words}"

    @property
    def row(self) -> TaskRow:
        return TASKS[self.task]

    def problems(self) -> Iterator[str]:
        """Yield a sentence for everything that is wrong with the row."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", self.model):
            yield f"{self.model!r} is not the name of a model"
        if self.task not in TASKS:
            yield f"{self.model}: task must be one of {', '.join(TASKS)}"
        if not 512 <= self.memory <= 10240:
            yield f"{self.model}: memory must be 512 to 10240"
        if not 1 <= self.seconds <= 900:
            yield f"{self.model}: seconds must be 1 to 900"
        if self.concurrency < 0 or self.provisioned < 0 or 0 < self.concurrency < self.provisioned:
            yield f"{self.model}: provisioned is part of concurrency, and neither is negative"
        if self.provider not in ("cpu", "openvino"):
            yield f"{self.model}: provider must be cpu or openvino"
        elif self.provider == "openvino" and self.task in TASKS and self.row.input != "image":
            yield f"{self.model}: openvino is for tasks whose input is a picture, {self.task} has {self.row.input}"


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hearth.toml. What the command line says wins."""

    store: str = ""
    """The default of --store; `cli.options` reads it."""
    stack: str = ""
    region: str = ""
    most_dollars_a_month: float = math.inf
    """`hearth deploy` refuses a stack that costs more while idle."""
    parameters: dict[str, str | int] = {}
    """Parameters of the template."""
    dedicated: list[Dedicated] = []


def read_configuration(path: Path) -> Configuration:
    """The configuration in a file; an empty one if there is no such file. Raises BadRequest with every problem."""
    if not path.is_file():
        return Configuration()
    try:
        configuration = msgspec.convert(tomllib.loads(decode_text(path.read_bytes())), Configuration)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadRequest(f"{path}: {error}") from None
    problems = [sentence for row in configuration.dedicated for sentence in row.problems()]
    names = [row.model for row in configuration.dedicated]
    problems += [f"{name} has {names.count(name)} rows" for name in dict.fromkeys(names) if names.count(name) > 1]
    if problems:
        raise BadRequest("\n".join(f"{path}: {problem}" for problem in problems))
    return configuration


def expand(template: str, rows: Sequence[Dedicated]) -> str:
    """The text of template.yaml with the rows' functions. Raises BadRequest if it has no place for them."""
    for mark in (ROUTES_MARK, RESOURCES_MARK):
        if template.count(mark) != 1:
            raise BadRequest(f"The template has no line `{mark.strip()}`, which the functions of {FILE} replace")
    if not rows:
        return template
    resources = "".join(_resources(row) for row in rows)
    if any(row.provider == "openvino" for row in rows):
        resources = _OPENVINO + resources
    routes = "".join(_routes(row) for row in rows)
    return template.replace(ROUTES_MARK, routes).replace(RESOURCES_MARK, resources)


_URI = (
    "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2021-11-15/functions/${Alias}"
    "/response-streaming-invocations"
)


def _routes(row: Dedicated) -> str:
    operation = f"*{row.id}"
    return f"""\
          /models/{row.model}:
            get: *catalog
            options: *public
            post: &{row.id}
              security: *secured
              x-amazon-apigateway-integration:
                type: aws_proxy
                httpMethod: POST
                responseTransferMode: STREAM
                timeoutInMillis: 900000
                uri: !Sub
                  - {_URI}
                  - {{Alias: !Ref {row.id}.Alias}}
          /models/{row.model}/{{proxy+}}: {{get: {operation}, post: {operation}, options: *public}}
          /v2/models/{row.model}: {{get: {operation}, options: *public}}
          /v2/models/{row.model}/{{proxy+}}: {{get: {operation}, post: {operation}, options: *public}}
          /pipeline/{row.task}/{row.model}: {{post: {operation}, options: *public}}
          /endpoints/{row.model}/invocations: {{post: {operation}, options: *public}}
"""


def _resources(row: Dedicated) -> str:
    core = "Openvino" if row.provider == "openvino" else "Core"
    media = INPUT_LAYERS[row.row.input]
    if row.provider == "openvino":  # OpenVINO and FFmpeg together are larger than a function may be
        media = tuple(name for name in media if name != "Video")
    layers = ", ".join(f"!Ref {name}Layer" for name in (core, *media, "Runtime"))
    reserved = f"      ReservedConcurrentExecutions: {row.concurrency}\n" if row.concurrency else ""
    provisioned = (
        f"      ProvisionedConcurrencyConfig: {{ProvisionedConcurrentExecutions: {row.provisioned}}}\n"
        if row.provisioned
        else ""
    )
    return f"""\
  {row.id}:
    Type: AWS::Serverless::Function
    Properties:
      AutoPublishAliasAllProperties: true
      CodeUri: functions/{row.row.function}/
      Layers: [{layers}]
      Role: !GetAtt {row.id}Role.Arn
      MemorySize: {row.memory}
      Timeout: {row.seconds}
{reserved}{provisioned}\
      DeploymentPreference: {{Alarms: [!Ref {row.id}Errors, !Ref ApiFailures]}}
      LoggingConfig: {{LogFormat: JSON, LogGroup: !Ref {row.id}Log}}
      Environment:
        Variables:
          AWS_LAMBDA_EXEC_WRAPPER: /opt/bootstrap-stream
          HEARTH_STREAM: rest
          HEARTH_MODELS: {row.model}
  {row.id}Log: {{Type: AWS::Logs::LogGroup, DeletionPolicy: Delete, UpdateReplacePolicy: Delete, Properties: *log}}
  {row.id}Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: *lambda
      Policies:
        - PolicyName: model
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Action: s3:GetObject
                Resource:
                  - !Sub ${{ArtifactBucket.Arn}}/models/{row.model}/*
                  - !Sub ${{UploadBucket.Arn}}/uploads/{row.model}/*
                  - !Sub ${{UploadBucket.Arn}}/tracks/{row.model}/*
              - Effect: Allow
                Action: s3:ListBucket
                Resource: !GetAtt ArtifactBucket.Arn
                Condition: {{StringLike: {{s3:prefix: models/{row.model}/*}}}}
              - *decrypt
              - !If
                - Watches
                - Effect: Allow
                  Action: s3:PutObject
                  Resource: !Sub ${{ResultBucket.Arn}}/watch/{row.model}/*
                - !Ref AWS::NoValue
              - !If
                - Captures
                - Effect: Allow
                  Action: s3:PutObject
                  Resource: !Sub ${{ResultBucket.Arn}}/capture/{row.model}/*
                - !Ref AWS::NoValue
              - *store
              - Effect: Allow
                Action: [logs:CreateLogStream, logs:PutLogEvents]
                Resource: !GetAtt {row.id}Log.Arn
              - *trace
  {row.id}Permission:
    Type: AWS::Lambda::Permission
    Properties:
      FunctionName: !Ref {row.id}.Alias
      Action: lambda:InvokeFunction
      Principal: apigateway.amazonaws.com
      SourceArn: *methods
  {row.id}Errors:
    Type: AWS::CloudWatch::Alarm
    Properties: {{<<: *errors, Dimensions: [{{Name: FunctionName, Value: !Ref {row.id}}}]}}
"""


_OPENVINO = """\
  OpenvinoLayer: {Type: AWS::Serverless::LayerVersion, Metadata: {BuildMethod: makefile}, Properties: *layer}
"""
