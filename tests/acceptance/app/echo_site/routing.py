"""Which consumer handles which websocket event; HTTP requests go to echo_site.urls."""

from channels.routing import route

from echo_site import consumers

WEBSOCKET_PATH = r"^/ws/$"

channel_routing = [
    route("websocket.connect", consumers.connect, path=WEBSOCKET_PATH),
    route("websocket.receive", consumers.receive, path=WEBSOCKET_PATH),
    route("websocket.disconnect", consumers.disconnect, path=WEBSOCKET_PATH),
]
