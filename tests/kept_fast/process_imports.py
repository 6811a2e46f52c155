"""Print what a handler imports, in a process of its own: `process_imports.py FOLDER [HTTP-EVENT]`.

The last line is JSON: {"event": {module: its file}, "http": …}, the modules after an unknown event and after the HTTP
event, without those of the interpreter itself.
"""

import sys

INTERPRETER = set(sys.modules)


def imported() -> dict[str, str]:
    modules = {name: module for name, module in sys.modules.items() if name not in INTERPRETER}
    return {name: getattr(module, "__file__", None) or "" for name, module in modules.items()}


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from hearth.aws_lambda.main import handler

    handler({"what": 1}, None)
    modules = {"event": imported()}
    import json

    if len(sys.argv) > 2:
        response = handler(json.loads(sys.argv[2]), None)
        assert response["statusCode"] in (200, 404), response
        modules["http"] = imported()
    print("\n" + json.dumps(modules))


if __name__ == "__main__":
    main()
