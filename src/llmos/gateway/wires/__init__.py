"""The wire formats of inference, one folder each: endpoints, fields, messages, answers and streams."""
