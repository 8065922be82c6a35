"""HTTP paths of the acceptance application."""

from django.conf.urls import url

from echo_site import views

urlpatterns = [
    url(r"^$", views.index),
    url(r"^whoami$", views.whoami),
]
