"""A cold start in a process of its own, up to the first answer: `process_cold.py HTTP-EVENT [ADDRESS]`.

With an address it is careless, as a control: it fetches that once more, and holds it in memory.
"""

import json
import sys
import urllib.request
from types import SimpleNamespace


def main() -> None:
    import app  # type: ignore[import-not-found]

    held = [urllib.request.urlopen(address).read() for address in sys.argv[2:]]
    context = SimpleNamespace(aws_request_id="request", get_remaining_time_in_millis=lambda: 900_000)
    answer = app.handler(json.loads(sys.argv[1]), context)
    if answer["statusCode"] != 200:
        sys.exit(f"{answer['body']} ({len(held)} fetched more)")


if __name__ == "__main__":
    main()
