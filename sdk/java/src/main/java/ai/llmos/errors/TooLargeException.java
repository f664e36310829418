// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 413, Request Entity Too Large. Codes: {@code request_too_large}. */
public class TooLargeException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public TooLargeException(Facts facts) {
        super(facts);
    }
}
