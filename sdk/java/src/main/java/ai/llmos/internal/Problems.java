package ai.llmos.internal;

import ai.llmos.errors.LLMOSException;

/** The facts of errors that the client finds itself. */
public final class Problems {
    private Problems() {}

    /** Returns the facts of a wrong argument. */
    public static LLMOSException.Facts about(String param, String message) {
        return new LLMOSException.Facts(message, 400, "invalid_request", param, null, null);
    }
}
