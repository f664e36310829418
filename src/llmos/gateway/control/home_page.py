"""GET /: what a person sees who opens the server's address in a browser. It needs no key and tells no secret."""

from fastapi import APIRouter, Response

from llmos import __version__

router = APIRouter()

_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>LLMOS</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}
pre {{ background: #f3f3f3; padding: 1rem; overflow-x: auto }}</style>
</head>
<body>
<h1>LLMOS</h1>
<p>An LLMOS server, version {__version__}, is running here. Is it ready? <a href="/health/ready">/health/ready</a></p>
<p>Programs talk to it with a key, in the formats of OpenAI (<code>/v1</code>), Anthropic (<code>/v1/messages</code>),
Ollama (<code>/api</code>), the Open Inference Protocol (<code>/v2</code>) and its own (<code>/llmos/v1</code>).
On the machine that it runs on:</p>
<pre>llmos chat dialogue</pre>
<p>From any program, with the key in <code>LLMOS_HOME/keys/owner</code> on that machine:</p>
<pre>curl ADDRESS/v1/chat/completions -H "Authorization: Bearer KEY" \\
  -d '{{"model": "dialogue", "messages": [{{"role": "user", "content": "Hello!"}}]}}'</pre>
<p>All operations, with the key: <code>/openapi.json</code></p>
</body>
</html>
"""


@router.get("/", include_in_schema=False)
async def home_page() -> Response:
    return Response(_PAGE, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
