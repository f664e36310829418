"""POST /v1/tokenize and /v1/detokenize. vLLM's own paths have no version."""

from typing import Any

from fastapi import APIRouter, Request

from llmos.gateway.http import openapi, sse
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of
from llmos.gateway.http.requests import parse_body
from llmos.gateway.http.sse import WorkResponse
from llmos.gateway.services import services_of
from llmos.gateway.wires.openai.tokens.answers import DetokenizeAnswer, TokenizeAnswer
from llmos.gateway.wires.openai.tokens.fields import DetokenizeRequest, TokenizeRequest
from llmos.security.permissions import Permission

router = APIRouter(tags=["inference"])

_TOKENIZE: dict[str, Any] = {
    "openapi_extra": openapi.body(TokenizeRequest, {"model": "dialogue", "prompt": "The meaning of life is"}),
    "responses": openapi.answers(TokenizeAnswer),
}
_DETOKENIZE: dict[str, Any] = {
    "openapi_extra": openapi.body(DetokenizeRequest, {"model": "dialogue", "tokens": [504, 3575]}),
    "responses": openapi.answers(DetokenizeAnswer),
}


@router.post("/v1/tokenize", summary="Return the tokens of a prompt", **_TOKENIZE)
@router.post(
    "/tokenize", summary="Return the tokens of a prompt, at vLLM's path", operation_id="vllm_tokenize", **_TOKENIZE
)
@requires(Permission.INFERENCE)
async def tokenize(request: Request) -> WorkResponse:
    body = await parse_body(request, TokenizeRequest)
    call, pipeline = body.call(caller_of(request)), services_of(request).pipeline

    async def work() -> bytes:
        found = await pipeline.tokenize(
            call,
            adds_bos=body.add_special_tokens is not False,
            adds_generation_prompt=body.add_generation_prompt and not body.continue_final_message,
        )
        texts = found.token_texts if body.return_token_strs else None
        return sse.encode(TokenizeAnswer(len(found.tokens), found.context_length, found.tokens, texts))

    return WorkResponse(work)


@router.post("/v1/detokenize", summary="Return the text of tokens", **_DETOKENIZE)
@router.post(
    "/detokenize", summary="Return the text of tokens, at vLLM's path", operation_id="vllm_detokenize", **_DETOKENIZE
)
@requires(Permission.INFERENCE)
async def detokenize(request: Request) -> WorkResponse:
    body = await parse_body(request, DetokenizeRequest)
    call, pipeline = body.call(caller_of(request)), services_of(request).pipeline

    async def work() -> bytes:
        return sse.encode(DetokenizeAnswer((await pipeline.tokenize(call)).text))

    return WorkResponse(work)
