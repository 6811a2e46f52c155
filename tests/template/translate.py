"""Translate SAM to CloudFormation, a line of JSON on standard input to one on standard output, until the input ends;
`{"error": …}` if SAM refuses a template. Runs with the `lint` tools.

It makes no calls to AWS: the template names managed policies by ARN, so SAM need not look them up.
"""

from __future__ import annotations

import json
import logging
import sys

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.swagger import swagger
from samtranslator.translator.translator import Translator


def main() -> None:
    logging.disable(logging.WARNING)
    # SAM copies the whole API document twice per route, which takes most of its time. Here it is edited in place; only
    # the hash in a deployment's name differs.
    swagger._deepcopy = lambda document: document
    for line in sys.stdin:
        try:
            output = Translator({}, Parser()).translate(json.loads(line), parameter_values={"AWS::Region": "us-east-1"})
        except InvalidDocumentException as error:
            output = {"error": error.message + "; " + "; ".join(cause.message for cause in error.causes)}
        print(json.dumps(output), flush=True)


if __name__ == "__main__":
    main()
