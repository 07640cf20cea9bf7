"""A small web application on one SQLite database: invoices to list, search, open, add and pay.

It opens the one path in the environment variable DATABASE (/litefs/data.db without it) and knows nothing
of replication; every page shows which node answered. Plain forms; JavaScript only counts along.

    DATABASE=… hypercorn --bind 127.0.0.1:8081 app:app
"""

import os
import re
import sqlite3
import threading
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl

from invoices import Invoices
from node import this_node
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

HERE = Path(__file__).parent
DATABASE = Path(os.environ.get("DATABASE", "/litefs/data.db"))
NODE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
LOAD_SECONDS, LOAD_WRITES_A_SECOND = 10, 50
PINS = os.environ.get("PINS", "the primary,the replica").split(",")
"""Of NGINX's two lists of nodes, what people call them: their names, where the primary changes."""

invoices = Invoices(DATABASE)
templates = Jinja2Templates(HERE / "templates")
templates.env.globals["pins"] = PINS
templates.env.filters["money"] = lambda cents: f"{cents / 100:,.2f}"

_loading = threading.Lock()


def number_of(text: str) -> int:
    """A number as people type it; 0, which is no invoice, no page and no quantity, for anything else."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def page(request: Request, name: str, status: int = 200, **values: object) -> Response:
    """A template, with what every page shows: the node, and the cookies that matter here."""
    shown = {"node": this_node(DATABASE), "txid_cookie": request.cookies.get("__txid", "")}
    pinned = request.cookies.get("pin", "")
    found = templates.TemplateResponse(
        request, name, {**shown, "pinned": pinned, **values}, status_code=status
    )
    found.headers["Cache-Control"] = "no-store"
    return found


async def home(request: Request) -> Response:
    text = request.query_params.get("q", "").strip()
    number = number_of(request.query_params.get("page", ""))
    found = await run_in_threadpool(invoices.search, text, max(1, number))
    return page(request, "list.html", found=found, q=text)


async def new(request: Request) -> Response:
    names, items = await run_in_threadpool(invoices.choices)
    return page(request, "new.html", names=names, items=items)


async def show(request: Request) -> Response:
    found = await run_in_threadpool(invoices.invoice, number_of(request.path_params["number"]))
    if found is None:
        return page(request, "message.html", 404, title="There is no such invoice", text="It may come yet.")
    return page(request, "invoice.html", head=found[0], lines=found[1])


async def add(request: Request) -> Response:
    form = dict(parse_qsl((await request.body()).decode(errors="replace")))
    try:
        number = await run_in_threadpool(
            invoices.add,
            form.get("customer", ""),
            form.get("item", ""),
            number_of(form.get("quantity", "")),
        )
    except ValueError as error:
        return page(request, "message.html", 400, title="This is no invoice", text=str(error))
    return RedirectResponse(f"/invoices/{number}", HTTPStatus.SEE_OTHER)


async def paid(request: Request) -> Response:
    number = number_of(request.path_params["number"])
    if not await run_in_threadpool(invoices.mark_paid, number):
        title, text = "There is no such invoice", "Nothing was changed."
        return page(request, "message.html", 404, title=title, text=text)
    return RedirectResponse(f"/invoices/{number}", HTTPStatus.SEE_OTHER)


async def watch(request: Request) -> Response:
    return page(request, "load.html", seconds=LOAD_SECONDS, rate=LOAD_WRITES_A_SECOND)


async def load(request: Request) -> Response:
    """Begin the load, unless one is under way, on the node that this request reached: the primary."""
    if _loading.acquire(blocking=False):
        threading.Thread(target=_write_for_a_while, daemon=True).start()
    return RedirectResponse("/load", HTTPStatus.SEE_OTHER)


def _write_for_a_while() -> None:
    try:
        begin = time.monotonic()
        for number in range(LOAD_SECONDS * LOAD_WRITES_A_SECOND):
            time.sleep(max(0.0, begin + number / LOAD_WRITES_A_SECOND - time.monotonic()))
            invoices.touch_any()
    finally:
        _loading.release()


async def facts(request: Request) -> Response:
    del request
    return JSONResponse(
        this_node(DATABASE).as_json() | {"loading": _loading.locked()}, headers={"Cache-Control": "no-store"}
    )


async def pin(request: Request) -> Response:
    """Have NGINX send this browser to one node, or (no node) to each in turn."""
    answer = RedirectResponse(_back(request), HTTPStatus.SEE_OTHER)
    chosen = request.query_params.get("node", "")
    if NODE_NAME.fullmatch(chosen):
        answer.set_cookie("pin", chosen, path="/")
    else:
        answer.delete_cookie("pin", path="/")
    return answer


async def forget(request: Request) -> Response:
    """Drop the cookie that says how far this browser's own writes have come."""
    answer = RedirectResponse(_back(request), HTTPStatus.SEE_OTHER)
    answer.delete_cookie("__txid", path="/", httponly=True)
    return answer


def _back(request: Request) -> str:
    path = request.query_params.get("back", "/")
    return path if path.startswith("/") and not path.startswith("//") else "/"


async def database_error(request: Request, error: Exception) -> Response:
    """What SQLite said, in words: not there yet, only to be read here, or busy."""
    text = str(error)
    if "readonly" in text:
        title = "This node cannot write"
        why = "It is a replica, and nothing passed this request on to the primary."
    elif "unable to open" in text or "no such table" in text:
        title, why = "The database is not here yet", "This node has not got it from the primary so far."
    else:
        title, why = "The database did not answer", f"SQLite says: {text}."
    # Not 503: that is the proxy's and NGINX's own, who then show a page of theirs.
    return page(request, "message.html", 500, title=title, text=why)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/invoices", add, methods=["POST"]),
        Route("/invoices/new", new),
        Route("/invoices/{number}", show),
        Route("/invoices/{number}/paid", paid, methods=["POST"]),
        Route("/load", watch),
        Route("/load", load, methods=["POST"]),
        Route("/node", facts),
        Route("/nodes", facts),  # the same; the front asks each node in turn, also for who is pinned to one
        Route("/pin", pin),
        Route("/forget", forget),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ],
    exception_handlers={sqlite3.OperationalError: database_error},
)
