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
    return _shown(ctx, location_url(provider(ctx), location))


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
    return _shown(ctx, directions_url(provider(ctx), start_location, end_location, transport))


def location_url(provider: str, location: str) -> str:
    """Return the URL by which a provider, "google" or "apple", shows a place.

    Raises:
        InvalidArgument: It is empty.
    """
    place = required_line(location, "location")
    if provider == "apple":
        return f"{_APPLE}?{urlencode({'q': place})}"
    return f"{_GOOGLE}/search/?{urlencode({'api': 1, 'query': place})}"


def directions_url(provider: str, start_location: str, end_location: str, transport: str) -> str:
    """Return the URL by which a provider shows a way; the arguments are those of `maps_show_directions`.

    Raises:
        InvalidArgument: There is no end, or another transport.
    """
    start, end = one_line(start_location), required_line(end_location, "destination")
    if transport not in _GOOGLE_MODES:
        raise InvalidArgument(
            f"the transport {transport!r} is unknown", fix="d by car, w on foot, r by public transport"
        )
    if provider == "apple":
        query = {"saddr": start, "daddr": end, "dirflg": transport}
        url = _APPLE
    else:
        query = {"api": "1", "origin": start, "destination": end, "travelmode": _GOOGLE_MODES[transport]}
        url = f"{_GOOGLE}/dir/"
    return f"{url}?{urlencode({key: value for key, value in query.items() if value})}"


def provider(ctx: ToolContext, *, default: str = "google") -> str:
    """Return whose maps the setting `maps.provider` names.

    Raises:
        ConfigError: They are nobody's that is known.
    """
    chosen = str(ctx.settings.get("maps", {}).get("provider", default))
    if chosen not in {"google", "apple"}:
        raise ConfigError(f"the setting maps.provider is {chosen!r}", fix="set it to google or apple")
    return chosen


def _shown(ctx: ToolContext, url: str) -> str:
    if ctx.settings.get("maps", {}).get("open", False):
        webbrowser.open(url)
    return url
