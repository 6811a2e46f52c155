"""The handler that is configured in Lambda, `hearth.aws_lambda.main.handler`: prepares the process, then imports the
function's module `app`."""

from hearth.bootstrap import load_function, prepare_process

prepare_process()
handler = load_function("app")
