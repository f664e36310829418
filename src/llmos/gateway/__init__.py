"""The one pipeline that every call crosses, and the wire formats around it."""
