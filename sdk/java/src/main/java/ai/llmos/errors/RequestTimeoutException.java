// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 408, Request Timeout. Codes: {@code request_timeout}. */
public class RequestTimeoutException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public RequestTimeoutException(Facts facts) {
        super(facts);
    }
}
