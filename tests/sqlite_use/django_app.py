"""A Django project in one file: POST inserts a row, GET counts them. A connection a request, WAL mode."""
# mypy: disable-error-code="import-not-found,import-untyped"

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="a test's own",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "OPTIONS": {"timeout": 20},
        }
    },
)
django.setup()


def rows(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        if request.method == "POST":
            cursor.execute("INSERT INTO seen(b) VALUES(%s)", [request.GET["b"]])
            return HttpResponse("inserted")
        cursor.execute("SELECT count(*) FROM seen")
        return HttpResponse(str(cursor.fetchone()[0]))


urlpatterns = [path("", rows)]
application = get_wsgi_application()
