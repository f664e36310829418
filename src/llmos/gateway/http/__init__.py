"""HTTP itself: authentication, request bodies, responses, event streams, errors and the OpenAPI document."""
