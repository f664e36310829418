"""A kept conversation of the owner's key, and what it thinks of the answer."""

from llmos.cli.control.local import LocalControl
from llmos.core.schemas.conversations import ConversationDescription
from llmos.core.schemas.feedback import FeedbackContent
from llmos.data.conversations.conversations import Conversations, NewMessage, Person
from llmos.data.feedback.feedback import Feedback, NewFeedback

QUESTION, ANSWER = {"role": "user", "content": "Name a color."}, {"role": "assistant", "content": "Rd."}


def keep_conversation(control: LocalControl) -> ConversationDescription:
    """Keep a question and an answer, and a correction of it."""
    database, encryption = control.registry.database, control.keys_of_data
    conversations, owner = Conversations(database, encryption), Person(project="owner", actor="owner")
    made = conversations.create(owner, "A color")
    content = FeedbackContent(messages=[QUESTION], text="Rd.", correction="Red.")
    feedback = Feedback(database, encryption)
    feedback.give("owner", "owner", NewFeedback(answer="chatcmpl-1", rating="down", content=content))
    messages = [NewMessage(message=QUESTION), NewMessage(message=ANSWER, answer="chatcmpl-1")]
    return conversations.append(owner, made.id, messages, parent=None)
