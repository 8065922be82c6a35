"""Settings of the acceptance application: no database, no sessions, one channel layer."""

# Nothing is signed here, Django only insists on a value.
SECRET_KEY = "acceptance tests only"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
MIDDLEWARE = []
# Log times as in the logs of the other containers.
TIME_ZONE = "UTC"
ROOT_URLCONF = "echo_site.urls"

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "asgi_redis.RedisChannelLayer",
        "ROUTING": "echo_site.routing.channel_routing",
        "CONFIG": {"hosts": [("redis", 6379)], "capacity": 1000},
    },
}
