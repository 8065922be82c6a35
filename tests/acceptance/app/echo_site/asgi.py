"""Channel layer that daphne serves."""

import os

from channels.asgi import get_channel_layer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "echo_site.settings")

channel_layer = get_channel_layer()
