"""A cold start in a process of its own, up to the first response: `process_cold.py HTTP-EVENT [ADDRESS]`.

With an address it is careless, as a control: it downloads that again and holds it in memory.
"""

import json
import sys
import urllib.request
from types import SimpleNamespace


def main() -> None:
    from hearth.aws_lambda.main import handler

    downloads = [urllib.request.urlopen(address).read() for address in sys.argv[2:]]
    context = SimpleNamespace(aws_request_id="request", get_remaining_time_in_millis=lambda: 900_000)
    response = handler(json.loads(sys.argv[1]), context)
    if response["statusCode"] != 200:
        sys.exit(f"{response['body']} ({len(downloads)} more downloads)")


if __name__ == "__main__":
    main()
