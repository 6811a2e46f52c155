"""Raw SAM as a line of JSON on standard input, CloudFormation as a line of JSON on standard output, until the input
ends; `{"error": …}` for what SAM refuses. Runs with the `lint` tools.

Nothing is asked of AWS: managed policies are named by ARN in the template, so none need looking up.
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
    # SAM copies the whole API's document twice for each route, which takes most of its time; here it is edited in
    # place, and but for the hash in a deployment's name the outcome is the same.
    swagger._deepcopy = lambda document: document
    for line in sys.stdin:
        try:
            told = Translator({}, Parser()).translate(json.loads(line), parameter_values={"AWS::Region": "us-east-1"})
        except InvalidDocumentException as error:
            told = {"error": error.message + "; " + "; ".join(cause.message for cause in error.causes)}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
