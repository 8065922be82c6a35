"""HTTP views, run by the workers: an answer proves that web, redis and worker all work."""

from django.http import HttpResponse, JsonResponse

HEADER_PREFIX = "HTTP_"


def index(request):
    return HttpResponse("ok", content_type="text/plain")


def whoami(request):
    """The request headers as Django saw them, named as in `X-Forwarded-For`."""
    headers = {
        name[len(HEADER_PREFIX):].replace("_", "-").title(): value
        for name, value in request.META.items()
        if name.startswith(HEADER_PREFIX)
    }
    return JsonResponse(headers)
