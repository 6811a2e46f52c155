"""`python -m hearth.aws_lambda HANDLER` serves the handler with our runtime, as /opt/bootstrap-stream does."""

import importlib
import sys

from hearth.bootstrap import prepare_process

if __name__ == "__main__":
    prepare_process()
    importlib.import_module("hearth.aws_lambda.streaming").main(sys.argv[1])
