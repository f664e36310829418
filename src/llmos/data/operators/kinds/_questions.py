"""Questions and answers of rows: what a model is asked, and what it should answer."""

from llmos.data.datasets.contents import (
    CaseContent,
    ChatContent,
    Content,
    Message,
    PreferenceContent,
    TextContent,
)


def question_of(content: Content) -> str:
    """Return the text that stands before the answer: of a conversation all but the last answer; of a text all of it."""
    match content:
        case TextContent(text=text):
            return text
        case CaseContent(input=str(text)):
            return text
        case CaseContent(input=list(messages)):
            return _text_of(messages)
        case PreferenceContent(messages=messages):
            return _text_of(messages)
        case ChatContent(messages=messages):
            return _text_of(messages[:-1] if messages and messages[-1].role == "assistant" else messages)
    raise AssertionError(f"no kind of content: {content!r}")


def answer_of(content: Content) -> str:
    """Return the text of the answer; empty where there is none."""
    match content:
        case CaseContent(expected=str(text)):
            return text
        case PreferenceContent(chosen=messages):
            return _text_of(messages)
        case ChatContent(messages=messages) if messages and messages[-1].role == "assistant":
            return _text_of(messages[-1:])
    return ""


def _text_of(messages: list[Message]) -> str:
    texts = []
    for message in messages:
        if isinstance(message.content, str):
            texts.append(message.content)
        elif message.content is not None:
            texts += [part["text"] for part in message.content if isinstance(part.get("text"), str)]
    return "\n".join(texts)
