// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 414, Request-URI Too Long. Codes: {@code uri_too_long}. */
public class UriTooLongException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public UriTooLongException(Facts facts) {
        super(facts);
    }
}
