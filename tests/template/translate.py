"""Raw SAM as JSON on standard input, CloudFormation as JSON on standard output. Runs with the `lint` tools.

Nothing is asked of AWS: managed policies are named by ARN in the template, so none need looking up.
"""

from __future__ import annotations

import json
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

if __name__ == "__main__":
    translator = Translator({}, Parser())
    print(json.dumps(translator.translate(json.load(sys.stdin), parameter_values={"AWS::Region": "us-east-1"})))
