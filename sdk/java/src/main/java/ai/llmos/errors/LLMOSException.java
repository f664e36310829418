package ai.llmos.errors;

import java.util.Optional;
import java.util.OptionalDouble;

/**
 * The base of all errors. The message says what is wrong and what to do about it. Status and code are a promise to programs.
 */
public class LLMOSException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient Facts facts;

    /**
     * The facts of an error.
     *
     * @param message what is wrong and what to do
     * @param status the HTTP status; 0 where no server answered
     * @param code the name of the error, unique in the tree
     * @param param the field of the request that is wrong, or null
     * @param requestId the id of the request in the server's log, or null where no server answered
     * @param retryAfterSeconds the time to wait until the same request may succeed, or null
     */
    public record Facts(String message, int status, String code, String param, String requestId, Double retryAfterSeconds) {
        Facts as(int otherStatus, String otherCode) {
            return new Facts(message, otherStatus, otherCode, param, requestId, retryAfterSeconds);
        }

        /** The facts of an error that no server answered with. */
        public static Facts local(String code, String message) {
            return new Facts(message, 0, code, null, null, null);
        }
    }

    /** Makes one. */
    public LLMOSException(Facts facts) {
        super(facts.message());
        this.facts = facts;
    }

    /** Returns the HTTP status; 0 where no server answered. */
    public int status() {
        return facts.status();
    }

    /** Returns the name of the error, such as {@code model_not_found}. */
    public String code() {
        return facts.code();
    }

    /** Returns the field of the request that is wrong. */
    public Optional<String> param() {
        return Optional.ofNullable(facts.param());
    }

    /** Returns the id of the request, with which the server's log has it. */
    public Optional<String> requestId() {
        return Optional.ofNullable(facts.requestId());
    }

    /** Returns the time to wait until the same request may succeed. */
    public OptionalDouble retryAfterSeconds() {
        return facts.retryAfterSeconds() == null ? OptionalDouble.empty() : OptionalDouble.of(facts.retryAfterSeconds());
    }
}
