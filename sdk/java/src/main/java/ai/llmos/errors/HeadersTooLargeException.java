// Made by sdk/java/generator/generate.py. Don't edit.
package ai.llmos.errors;

/** The status 431, Request Header Fields Too Large. Codes: {@code headers_too_large}. */
public class HeadersTooLargeException extends LLMOSException {
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public HeadersTooLargeException(Facts facts) {
        super(facts);
    }
}
