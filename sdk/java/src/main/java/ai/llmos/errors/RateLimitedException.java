// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 429, Too Many Requests. Codes: {@code rate_limit_exceeded}, {@code overloaded}, {@code quota_exceeded}. */
public class RateLimitedException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public RateLimitedException(Facts facts) {
        super(facts);
    }
}
