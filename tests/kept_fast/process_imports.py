"""What a handler imports, in a process of its own: `process_imports.py FOLDER [HTTP-EVENT]`; a JSON line is the last.

{"event": {module: its file}, "http": as well} of all that is there after an event that is none, and after the HTTP
event; without what the interpreter itself brought.
"""

import sys

BROUGHT = set(sys.modules)


def imported() -> dict[str, str]:
    found = {name: module for name, module in sys.modules.items() if name not in BROUGHT}
    return {name: getattr(module, "__file__", None) or "" for name, module in found.items()}


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    import app  # type: ignore[import-not-found]

    app.handler({"what": 1}, None)
    found = {"event": imported()}
    import json

    if len(sys.argv) > 2:
        answer = app.handler(json.loads(sys.argv[2]), None)
        assert answer["statusCode"] in (200, 404), answer
        found["http"] = imported()
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
