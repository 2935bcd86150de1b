"""Whether a server can be reached, found out within seconds."""

import os
import socket
import threading
import urllib.request
from urllib.parse import urlsplit

SECONDS = 3.0  # a name server or a firewall that stays silent longer counts as no network


def offline():
    """Returns whether the user forbade downloads with `KERASDNN_OFFLINE=1`."""
    return os.environ.get("KERASDNN_OFFLINE", "") not in ("", "0")


def unreachable(urls, seconds=SECONDS):
    """Returns why none of the servers can be reached, or None if one answers.

    A name look-up has no time limit of its own, so the attempt runs in a thread that is left
    behind when its time is over.

    Args:
        urls: addresses; with a proxy in the environment the proxy is tried in their place.
        seconds: float, the limit for all of them together.
    """
    if offline():
        return "KERASDNN_OFFLINE forbids downloads"
    servers = sorted({server for url in urls if (server := _server(url))})
    if not servers:
        return None
    answered = threading.Event()
    threads = [
        threading.Thread(target=_knock, args=(server, seconds, answered), daemon=True)
        for server in servers[:4]
    ]
    for thread in threads:
        thread.start()
    share = seconds / len(threads)
    for thread in threads:
        thread.join(share)
        if answered.is_set():
            return None
    return f"no network: {servers[0][0]} does not answer"


def _server(url):
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if not parts.hostname:
        return None
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _knock(server, seconds, answered):
    try:
        socket.create_connection(server, timeout=seconds).close()
    except OSError:
        return
    answered.set()
