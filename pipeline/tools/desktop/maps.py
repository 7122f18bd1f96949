"""Maps: URLs that show a place or a route, by the documented URL schemes; nothing is sent anywhere.

Google's "Maps URLs" (https://developers.google.com/maps/documentation/urls) unless the setting
`maps.provider` is "apple" (Apple's "Map Links"). A browser opens them only if the setting `maps.open` is
true.
"""

from __future__ import annotations

import webbrowser
from urllib.parse import urlencode

from pipeline.errors import ConfigError
from pipeline.tools.arguments import one_line, required_line
from pipeline.tools.context import InvalidArgument, ToolContext

_GOOGLE = "https://www.google.com/maps"
_APPLE = "https://maps.apple.com/"
_GOOGLE_MODES = {"d": "driving", "w": "walking", "r": "transit"}  # Apple's own letters are ours


def maps_open_location(ctx: ToolContext, /, *, location: str) -> str:
    """Return a URL that shows `location`.

    Raises:
        InvalidArgument: It is empty.
        ConfigError: The setting `maps.provider` is unknown.
    """
    place = required_line(location, "location")
    if _provider(ctx) == "apple":
        return _shown(ctx, f"{_APPLE}?{urlencode({'q': place})}")
    return _shown(ctx, f"{_GOOGLE}/search/?{urlencode({'api': 1, 'query': place})}")


def maps_show_directions(ctx: ToolContext, /, *, start_location: str, end_location: str, transport: str) -> str:
    """Return a URL that shows the way to `end_location`.

    Args:
        ctx: What the run lends.
        start_location: Where it begins; "" is where the person is.
        end_location: Where it leads.
        transport: "d" by car, "w" on foot, "r" by public transport.

    Raises:
        InvalidArgument: There is no end, or another transport.
        ConfigError: The setting `maps.provider` is unknown.
    """
    start, end = one_line(start_location), required_line(end_location, "destination")
    if transport not in _GOOGLE_MODES:
        raise InvalidArgument(
            f"the transport {transport!r} is unknown", fix="d by car, w on foot, r by public transport"
        )
    if _provider(ctx) == "apple":
        query = {"saddr": start, "daddr": end, "dirflg": transport}
        url = _APPLE
    else:
        query = {"api": "1", "origin": start, "destination": end, "travelmode": _GOOGLE_MODES[transport]}
        url = f"{_GOOGLE}/dir/"
    return _shown(ctx, f"{url}?{urlencode({key: value for key, value in query.items() if value})}")


def _provider(ctx: ToolContext) -> str:
    provider = str(ctx.settings.get("maps", {}).get("provider", "google"))
    if provider not in {"google", "apple"}:
        raise ConfigError(f"the setting maps.provider is {provider!r}", fix="set it to google or apple")
    return provider


def _shown(ctx: ToolContext, url: str) -> str:
    if ctx.settings.get("maps", {}).get("open", False):
        webbrowser.open(url)
    return url
