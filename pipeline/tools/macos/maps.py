"""Maps: the URLs of the desktop's maps, of Apple's unless the setting `maps.provider` is "google", opened on the screen.

Apple's are opened in Maps itself, Google's in the browser; neither if the setting `maps.open` is false.
"""

from __future__ import annotations

from pipeline.tools.context import ToolContext
from pipeline.tools.desktop.maps import directions_url, location_url, provider
from pipeline.tools.macos.osascript import Script, ask

APP = "Maps"
_OPEN = Script("open_url", APP)
_APPLE = "https://maps.apple.com/"


def maps_open_location(ctx: ToolContext, /, *, location: str) -> str:
    """Show `location` and return a URL that does.

    Raises:
        InvalidArgument: It is empty.
        Unavailable: It cannot be opened.
        ConfigError: The setting `maps.provider` is unknown.
    """
    return _shown(ctx, location_url(provider(ctx, default="apple"), location))


def maps_show_directions(ctx: ToolContext, /, *, start_location: str, end_location: str, transport: str) -> str:
    """Show the way to `end_location` and return a URL that does; the arguments are those of the desktop's.

    Raises:
        InvalidArgument: There is no end, or another transport.
        Unavailable: It cannot be opened.
        ConfigError: The setting `maps.provider` is unknown.
    """
    return _shown(ctx, directions_url(provider(ctx, default="apple"), start_location, end_location, transport))


def _shown(ctx: ToolContext, url: str) -> str:
    if ctx.settings.get("maps", {}).get("open", True):
        in_the_app = url.replace(_APPLE, "maps://", 1) if url.startswith(_APPLE) else url
        ask(ctx, _OPEN, [in_the_app])
    return url
