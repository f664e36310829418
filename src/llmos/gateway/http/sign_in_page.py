"""The sign-in page: HTML without scripts, under a content security policy that allows none."""

from base64 import b64encode
from hashlib import sha256
from html import escape
from urllib.parse import quote

from starlette.responses import Response

DEFAULT_NEXT = "/llmos/v1/sign-in"
"""The path that a browser is sent to after it has signed in, unless the request to sign in named another one."""

_MAX_NEXT = 512

_STYLE = """body { font: 1rem/1.5 system-ui, sans-serif; max-width: 22rem; margin: 4rem auto; padding: 0 1rem }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input { margin: 0 0 1rem; padding: .5rem }
button { padding: .5rem }
[role=alert] { border-left: .25rem solid #b00020; padding-left: .75rem }"""

_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # With no-referrer, browsers would hide the origin that check_origin() looks for.
    "Referrer-Policy": "same-origin",
}


def safe_next(text: str | None) -> str:
    """Return the path on this server that a browser is to go to: `text`, if it is one, else the sign-in page.

    Browsers read // and /\\ as the beginning of another host, and drop tabs and line breaks.
    """
    is_path = text is not None and text.startswith("/") and not text.startswith("//") and len(text) <= _MAX_NEXT
    if not is_path or text is None or not text.isascii() or not text.isprintable() or "\\" in text or " " in text:
        return DEFAULT_NEXT
    return text


def sign_in_page(next: str, *, has_oidc: bool, problem: str = "", status: int = 200) -> Response:
    """Return the page that asks for a name and a password, or leads to the OIDC provider."""
    alert = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    oidc = (
        f'<p><a href="/llmos/v1/sign-in/oidc?next={quote(next, safe="")}">Sign in with your organization</a></p>'
        if has_oidc
        else ""
    )
    return _page(
        f"""{alert}{oidc}
<form method="post" action="/llmos/v1/sign-in">
<input type="hidden" name="next" value="{escape(next)}">
<label for="user">User</label><input id="user" name="user" autocomplete="username" autofocus required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>
<p>No account yet? Whoever runs this server creates one: <code>llmos user create NAME --role owner</code></p>""",
        status,
    )


def signed_in_page(user: str, role: str, project: str, csrf_token: str) -> Response:
    """Return the page that a browser with a session sees."""
    return _page(
        f"""<p>You are signed in as <b>{escape(user)}</b>, {escape(role)} of {escape(project)}.</p>
<form method="post" action="/llmos/v1/sign-out">
<input type="hidden" name="csrf_token" value="{escape(csrf_token)}">
<button>Sign out</button>
</form>"""
    )


def onward_page(next: str) -> Response:
    """Return a page that goes on by itself.

    A redirect wouldn't do: the browser comes from the provider's site, and would go on without the cookie that it gets
    with this response, because that is SameSite=Strict.
    """
    return _page(
        f'<p>You are signed in. <a href="{escape(next)}">Continue</a></p>',
        head=f'<meta http-equiv="refresh" content="0; url={escape(next)}">',
    )


def _page(content: str, status: int = 200, head: str = "") -> Response:
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
{head}<title>Sign in to LLMOS</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>LLMOS</h1>
{content}
</body>
</html>
"""
    return Response(page, status, _HEADERS, "text/html; charset=utf-8")
